/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a disk is still the one that an earlier restore point holds (B4). */
#include "test.h"

#include "requester/chain.h"
#include <fcntl.h>
#include <sys/stat.h>

struct place {
    char *image, *base;
    json_t *disk;       /* as it is now */
    struct chain_vm vm; /* stands on a point that recorded the same */
};

static json_t *disk_entry(const struct place *p)
{
    json_t *d = json_pack("{s:s, s:s, s:s, s:i, s:[{s:s}]}", "target", "vda", "path", p->image, "format", "qcow2", "size", 65536,
                          "backing", "path", p->base);

    assert_non_null(d);
    assert_int_equal(chain_record_files(d, NULL), 0);
    return d;
}

static void place_new(struct place *p, const char *dir)
{
    p->image = io_path(dir, "image");
    p->base = io_path(dir, "base");
    write_text(p->image, "image");
    write_text(p->base, "base");
    p->disk = disk_entry(p);
    json_t *was = json_deep_copy(p->disk);
    json_object_set_new(was, "stored_as", json_string("vm/x/disk/vda"));
    p->vm.record = json_pack("{s:[o]}", "disks", was);
    assert_non_null(p->vm.record);
}

static void place_clear(struct place *p)
{
    free(p->image);
    free(p->base);
    json_decref(p->disk);
    json_decref(p->vm.record);
}

/* Looks again at the files. */
static void look(struct place *p)
{
    json_decref(p->disk);
    p->disk = disk_entry(p);
}

static void assert_trusted(struct place *p)
{
    char *why = NULL;
    const char *image = chain_image(&p->vm, p->disk, &why);

    assert_null(why);
    assert_string_equal(image, "vm/x/disk/vda");
}

static void assert_doubted(struct place *p, const char *reason)
{
    char *why = NULL;

    assert_null(chain_image(&p->vm, p->disk, &why));
    if (!why || !strstr(why, reason))
        fail_msg("the reason is '%s', not '%s'", why ? why : "none", reason);
    free(why);
}

static void b4_the_same_disk_is_trusted(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };

    place_new(&p, *state);
    look(&p);
    assert_trusted(&p);
    write_text(p.image, "the guest wrote"); /* in place: that is what bitmaps are for */
    look(&p);
    assert_trusted(&p);
}

static void b4_what_differs_is_named(void **state)
{
    static const struct { const char *key, *value, *reason; } texts[] = {
        { "target", "vdb", "not in the earlier" }, { "path", "/elsewhere", "another place" }, { "format", "raw", "format" },
    };
    _cleanup_(place_clear) struct place p = { 0 };

    place_new(&p, *state);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        json_t *before = json_deep_copy(p.disk);
        json_object_set_new(p.disk, texts[i].key, json_string(texts[i].value));
        assert_doubted(&p, texts[i].reason);
        json_decref(p.disk);
        p.disk = before;
    }
    json_object_set_new(p.disk, "size", json_integer(131072));
    assert_doubted(&p, "size");
    look(&p);
    assert_trusted(&p);
}

static void b4_another_file_in_the_same_place_is_not_trusted(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    _cleanup_free_ char *other = NULL;

    place_new(&p, *state);
    other = io_path(*state, "other");
    write_text(other, "image");
    assert_int_equal(rename(other, p.image), 0);
    look(&p);
    assert_doubted(&p, "another file");
}

static void b4_a_changed_backing_file_is_not_trusted(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };

    place_new(&p, *state);
    assert_int_equal(utimensat(AT_FDCWD, p.base, times, 0), 0);
    look(&p);
    assert_doubted(&p, "backed by");
}

static void b4_a_disk_that_was_not_stored_or_of_an_older_record_is_not_trusted(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };

    place_new(&p, *state);
    json_t *was = json_array_get(json_object_get(p.vm.record, "disks"), 0);
    json_object_del(was, "files");
    assert_doubted(&p, "another file");
    json_object_del(was, "stored_as");
    assert_doubted(&p, "not backed up");
    json_object_del(p.vm.record, "disks");
    assert_doubted(&p, "not in the earlier");
    json_object_del(p.disk, "target");
    assert_doubted(&p, "not in the earlier");
}

static void types_are_those_of_vss(void **state)
{
    struct chain_vm vms[2] = { { .type = VSS_BT_FULL }, { .type = VSS_BT_INCREMENTAL, .point = (char *)"x" } };
    struct chain none = { 0 }, some = { 2, vms };
    enum vss_backup_type type;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(chain_type(&none, "auto", &type, &err));
    assert_int_equal(type, VSS_BT_FULL);
    assert_ok(chain_type(&some, "auto", &type, &err));
    assert_int_equal(type, VSS_BT_INCREMENTAL);
    assert_ok(chain_type(&none, "differential", &type, &err));
    assert_int_equal(type, VSS_BT_DIFFERENTIAL);
    assert_ok(chain_type(&some, "full", &type, &err));
    assert_int_equal(type, VSS_BT_FULL);
    assert_fails(EINVAL, chain_type(&none, "log", &type, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(b4_the_same_disk_is_trusted, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(b4_what_differs_is_named, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(b4_another_file_in_the_same_place_is_not_trusted, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(b4_a_changed_backing_file_is_not_trusted, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(b4_a_disk_that_was_not_stored_or_of_an_older_record_is_not_trusted, test_dir_setup,
                                        test_dir_teardown),
        cmocka_unit_test(types_are_those_of_vss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
