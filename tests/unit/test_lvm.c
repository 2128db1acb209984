/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `lvs` reports: one volume, or none, or nothing that can be believed. M22. */
#include "providers/lvm_internal.h"
#include "test.h"
#include <errno.h>
#include <string.h>

#define REPORT(volumes) "{\"report\": [{\"lv\": [" volumes "]}]}"
#define SNAPSHOT                                                                                                                          \
    "{\"lv_name\":\"snap\", \"lv_uuid\":\"H11KVc-I012\", \"lv_path\":\"/dev/vg/snap\", \"vg_name\":\"vg\", \"vg_uuid\":\"wCTuuA-cK1b\", " \
    "\"pool_lv\":\"pool\", \"lv_tags\":\"kvss-1\", \"lv_size\":\"1073741824\", \"vg_extent_size\":\"4194304\", "                          \
    "\"vg_free\":\"3208642560\", \"data_percent\":\"95.99\", \"metadata_percent\":\"\", \"lv_snapshot_invalid\":\"-1\", "                 \
    "\"segtype\":\"thin\", "                                                                                                              \
    "\"lv_role\":\"public,origin,thinorigin\"}"

static int parse(const char *text, struct lvm_volume *v)
{
    *v = (struct lvm_volume){ 0 };
    return lvm_parse(text, strlen(text), v, NULL);
}

static void one_volume(void **state)
{
    struct lvm_volume v;

    (void)state;
    assert_int_equal(parse(REPORT(SNAPSHOT), &v), 0);
    assert_string_equal(v.name, "snap");
    assert_string_equal(v.uuid, "H11KVc-I012");
    assert_string_equal(v.vg, "vg");
    assert_string_equal(v.vg_uuid, "wCTuuA-cK1b");
    assert_string_equal(v.pool, "pool");
    assert_string_equal(v.tags, "kvss-1");
    assert_string_equal(v.path, "/dev/vg/snap");
    assert_int_equal(v.size, 1 << 30);
    assert_int_equal(v.extent, 4 << 20);
    assert_int_equal(v.vg_free, 3208642560u);
    assert_int_equal(v.full, 95);
    assert_int_equal(v.metadata_full, 0);
    assert_true(lvm_is_thin(&v));
    assert_false(lvm_is_classic(&v));
    lvm_volume_clear(&v);
}

static void kinds(void **state)
{
    char linear[] = "linear", cache[] = "cache", role[] = "public", snapshot[] = "public,snapshot,thicksnapshot";
    struct lvm_volume v = { .kind = linear, .role = role };

    (void)state;
    assert_true(lvm_is_classic(&v));
    v.role = snapshot; /* it can have no snapshots */
    assert_false(lvm_is_classic(&v));
    v = (struct lvm_volume){ .kind = cache, .role = role };
    assert_false(lvm_is_classic(&v) || lvm_is_thin(&v));
}

static void none_or_several(void **state)
{
    struct lvm_volume v;

    (void)state;
    assert_int_equal(parse(REPORT(""), &v), -ENOENT);
    lvm_volume_clear(&v);
    assert_int_equal(parse(REPORT(SNAPSHOT ", " SNAPSHOT), &v), -EBADMSG);
    lvm_volume_clear(&v);
}

static void nothing_to_believe(void **state)
{
    const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"report\": 1}",
        "{\"report\": []}",
        "{\"report\": [{}]}",
        "{\"report\": [{\"lv\": {}}]}",
        REPORT("1"),
        REPORT("{}"),
        REPORT("{\"lv_name\": 1, \"lv_uuid\": 2, \"vg_name\": [], \"vg_uuid\": null}"),
        REPORT(SNAPSHOT) "}",
    };
    struct lvm_volume v;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        int r = parse(texts[i], &v);
        lvm_volume_clear(&v);
        assert_true(r < 0 && r != -ENOENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_volume),
        cmocka_unit_test(kinds),
        cmocka_unit_test(none_or_several),
        cmocka_unit_test(nothing_to_believe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
