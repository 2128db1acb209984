/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of a VM: what was written is read, of this version and of the one before records had a version (golden files, of commit
 * b34021e); what a repository may say instead is bounded, and of the wrong type nothing. */
#include "test.h"

#include "base/json.h"
#include "writers/vm/vm_writer.h"

static char *text_of(const char *s)
{
    char *copy = strdup(s);

    assert_non_null(copy);
    return copy;
}

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);

    assert_non_null(j);
    return j;
}

static json_t *golden(const char *name)
{
    _cleanup_free_ char *path = str_format("%s/vm-record/%s.json", KVSS_GOLDEN_DIR, name);
    json_t *j = json_load_file(path, 0, NULL);

    if (!j)
        fail_msg("%s cannot be read", path);
    return j;
}

static void fill_disks(struct vm_record *r)
{
    r->disks[0] = (struct vm_record_disk){
        .target = text_of("vda"),
        .path = text_of("/a/vda.qcow2"),
        .format = text_of("qcow2"),
        .size = 1 << 30,
        .covered = true,
        .readonly = true,
        .shareable = true,
        .image = { true, 65536, text_of("1.1"), true, true, text_of("full"), text_of("zstd"), 16, 3, { true, 7 } },
        .stored_as = text_of("vm/x/disk/vda"),
        .why_whole = text_of("no bitmap"),
        .n_files = 2,
        .files = calloc(2, sizeof(struct vm_record_file)),
        .image_size = { true, 1 << 30 },
        .read = { true, 4096 },
        .stored = { true, 1024 },
        .dirty = { true, 65536 },
        .owner = { true, 0640, 107, 108, text_of("qemu"), text_of("kvm") },
    };
    strv_add(&r->disks[0].backing, "/a/base");
    r->disks[0].files[0] = (struct vm_record_file){ .path = text_of("/a/vda.qcow2"), .inode = { true, UINT64_MAX } };
    r->disks[0].files[1] = (struct vm_record_file){ text_of("/a/base"), { true, 12 }, { true, 9 }, { true, (uint64_t)-5 }, { true, 6 } };
    r->disks[1] = (struct vm_record_disk){ .target = text_of("sda"), .why = text_of("CD-ROM"), .clause = text_of("M11") };
}

static void fill_parts(struct vm_record *r)
{
    r->parts[0] = (struct vm_record_part){
        .name = text_of("memory"),
        .path = text_of("/run/memory"),
        .restore_path = text_of("/var/memory"),
        .tpm = text_of("tpm2/x"),
        .stored_as = text_of("vm/x/part/memory"),
        .pages_as = text_of("vm/x/part/memory.pages"),
        .kind = VM_PART_PAGES,
        .size = 77,
        .read = { true, 70 },
        .stored = { true, 60 },
        .owner = { true, 0600, 0, 0, NULL, NULL },
    };
    r->parts[1] = (struct vm_record_part){ .name = text_of("definition"), .kind = VM_PART_DOCUMENT, .size = 5, .stored = { true, 5 } };
}

static void fill_guest(struct vm_record_guest *g)
{
    *g = (struct vm_record_guest){
        .known = true,
        .version = text_of("1.2"),
        .session = text_of("6f1b2c3d-0000-4000-8000-000000000001"),
        .hook = { true, true },
        .by_hook = { true, true },
        .completed = { true, true },
        .broken = { true, false },
        .failure = text_of("writer orders: no"),
        .prepare_ms = { true, 250.5 },
        .hold_ms = { true, 80 },
        .n_writers = 1,
        .writers = calloc(1, sizeof(*g->writers)),
        .n_events = 1,
        .events = calloc(1, sizeof(*g->events)),
    };
    strv_add(&g->skipped, "a program");
    g->writers[0] = (struct vm_record_guest_writer){
        .name = text_of("orders"),
        .id = text_of("3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55"),
        .state = text_of("VSS_WS_STABLE"),
        .error = text_of("no"),
        .held = { true, true },
        .n_components = 1,
        .components = calloc(1, sizeof(*g->writers[0].components)),
    };
    g->writers[0].components[0] = (struct vm_record_guest_component){
        text_of("db"), text_of("a\\b"), text_of("The orders"), text_of("position 42"), text_of("stamp"),
    };
    g->events[0] = (struct vm_record_guest_event){ text_of("Freeze"), text_of("orders"), { true, 300.25 } };
}

/* Every member has a value, and none its default. */
static void fill(struct vm_record *r)
{
    *r = (struct vm_record){
        .version = VM_RECORD_VERSION,
        .name = text_of("web01"),
        .uuid = text_of("aaaaaaaa-0000-4000-8000-000000000001"),
        .state = HV_PAUSED,
        .autostart = true,
        .persistent = true,
        .method = VM_METHOD_CHILD,
        .why = text_of("all hold"),
        .clause = text_of("M4"),
        .n_conditions = 2,
        .conditions = calloc(2, sizeof(*r->conditions)),
        .policy = { true, VM_METHOD_SAVED, VM_LEVEL_APPLICATION, VM_FALLBACK_FAIL },
        .not_quiesced = text_of("the guest did not answer"),
        .consistency = VM_LEVEL_FILE_SYSTEM,
        .n_frozen = 1,
        .frozen = calloc(1, sizeof(*r->frozen)),
        .frozen_ms = { true, 52.5 },
        .down_ms = { true, 2100 },
        .instant = text_of("2026-11-22T21:13:05.123Z"),
        .n_disks = 2,
        .disks = calloc(2, sizeof(*r->disks)),
        .n_parts = 2,
        .parts = calloc(2, sizeof(*r->parts)),
        .checkpoint = text_of("kvss-1"),
        .asked = text_of("auto"),
        .type = text_of("incremental"),
        .why_type = text_of("it had to be"),
        .since = text_of("0123"),
        .dirty = { true, 65536 },
    };
    r->conditions[0] = (struct vm_record_condition){ text_of("M4a"), text_of("integration-service"), { true, false }, text_of("no") };
    r->conditions[1] = (struct vm_record_condition){ text_of("M4b"), text_of("running"), { false, 0 }, text_of("not looked at") };
    r->frozen[0] = (struct vm_record_fs){ text_of("/"), text_of("ext4"), true, text_of("so") };
    strv_add(&r->warnings, "one");
    strv_add(&r->warnings, "two");
    fill_disks(r);
    fill_parts(r);
    fill_guest(&r->guest);
}

static json_t *full(void)
{
    _cleanup_vm_record_ struct vm_record r = { 0 };

    fill(&r);
    json_t *j = vm_record_to_json(&r);
    assert_non_null(j);
    return j;
}

/* All that `some` has is in `all`; its disks and parts are compared one by one. */
static void assert_holds(const json_t *all, const json_t *some, const char *where)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)some, key, value)
        if (strcmp(key, "disks") && strcmp(key, "parts") && !json_equal(value, json_object_get(all, key))) {
            _cleanup_free_ char *is = json_dumps(json_object_get(all, key), JSON_ENCODE_ANY);
            fail_msg("%s: %s is %s now", where, key, is ? is : "nothing");
        }
}

static void b3_what_is_written_is_read(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record again = { 0 };
    _cleanup_json_ json_t *first = full(), *second = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(json_integer_value(json_object_get(first, "version")), 1);
    _cleanup_free_ char *text = json_dumps(first, 0);
    _cleanup_json_ json_t *stored = parse(text);
    assert_ok(vm_record_from_json(stored, &again, &err));
    second = vm_record_to_json(&again);
    assert_true(json_equal(first, second));
    assert_int_equal(again.state, HV_PAUSED);
    assert_int_equal(again.policy.require, VM_LEVEL_APPLICATION);
    assert_int_equal((int64_t)again.disks[0].files[1].mtime.value, -5);
    assert_int_equal(again.disks[0].files[0].inode.value, UINT64_MAX);
    assert_int_equal(again.disks[0].owner.gid, 108);
    assert_false(again.disks[1].owner.known);
    assert_false(again.conditions[1].ok.known);
    assert_ptr_equal(vm_record_find_part(&again, "memory"), &again.parts[0]);
    assert_null(vm_record_find_part(&again, "definition")); /* not stored */
    assert_ptr_equal(vm_record_find_disk(&again, "sda"), &again.disks[1]);
    assert_null(vm_record_find_disk(&again, "vdz"));
}

static void b3_nothing_is_read_as_nothing(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };
    _cleanup_json_ json_t *empty = json_object();
    struct err err = ERR_INIT;

    assert_ok(vm_record_from_json(empty, &r, &err));
    assert_int_equal(r.version, 0);
    assert_null(r.name);
    assert_int_equal(r.state, HV_OTHER);
    assert_int_equal(r.n_disks + r.n_parts, 0);
    _cleanup_json_ json_t *j = vm_record_to_json(&r);
    assert_null(json_object_get(j, "version"));
    assert_true(json_is_null(json_object_get(j, "vm")));
    assert_true(json_is_null(json_object_get(j, "policy")));
}

static void b3_a_record_of_an_earlier_version_is_read_in_full(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };
    _cleanup_json_ json_t *old = golden("version-0"), *listed = golden("version-0-listed");
    _cleanup_free_ char *differs = NULL;
    struct err err = ERR_INIT;
    size_t i;
    json_t *e;

    assert_ok(vm_record_from_json(old, &r, &err));
    assert_int_equal(r.version, 0);
    _cleanup_json_ json_t *now = vm_record_to_json(&r);
    assert_holds(now, old, "the record");
    json_array_foreach (json_object_get(old, "disks"), i, e)
        assert_holds(json_array_get(json_object_get(now, "disks"), i), e, "a disk");
    json_array_foreach (json_object_get(old, "parts"), i, e)
        assert_holds(json_array_get(json_object_get(now, "parts"), i), e, "a part");
    /* Its listing has all fields that one has now, and those that can be derived are as they were. */
    _cleanup_json_ json_t *summary = vm_record_summary(&r);
    const char *key;
    json_object_foreach (listed, key, e)
        assert_non_null(json_object_get(summary, key));
    assert_int_equal(vm_record_summary_differs(&r, listed, &differs, &err), 0);
    json_object_set_new(listed, "checkpoint", json_string("forged"));
    assert_int_equal(vm_record_summary_differs(&r, listed, &differs, &err), 1);
    assert_non_null(strstr(differs, "checkpoint: \"forged\" in the summary"));
}

static void b3_a_newer_version_is_refused(void **state)
{
    (void)state;
    static const char *const versions[] = { "2", "9007199254740993", "0", "-1", "\"1\"", "1.0", "null", "true", "[1]" };
    _cleanup_json_ json_t *j = full();
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        _cleanup_vm_record_ struct vm_record r = { 0 };
        json_object_set_new(j, "version", json_loads(versions[i], JSON_DECODE_ANY, NULL));
        assert_fails(EUCLEAN, vm_record_from_json(j, &r, &err));
        assert_non_null(strstr(err.text, i < 2 ? "newer" : "damaged"));
        assert_null(r.name);
        assert_int_equal(r.n_disks, 0);
    }
}

/* Each member in turn is of each other type: nothing fails, and of the wrong type it is as if it were not there. */
static void change_all(const json_t *whole, json_t *part, const json_t *other)
{
    const char *key;
    json_t *value;
    void *next;
    size_t i;

    json_object_foreach_safe (part, next, key, value) {
        struct err err = ERR_INIT;
        _cleanup_vm_record_ struct vm_record r = { 0 };
        json_incref(value);
        change_all(whole, value, other);
        if (strcmp(key, "version") != 0) {
            json_object_set(part, key, (json_t *)(uintptr_t)other);
            assert_ok(vm_record_from_json(whole, &r, &err));
            _cleanup_json_ json_t *again = vm_record_to_json(&r), *summary = vm_record_summary(&r), *preview = vm_record_preview(&r);
            assert_true(again && summary && preview);
            json_object_set(part, key, value);
        }
        json_decref(value);
    }
    json_array_foreach (part, i, value) {
        struct err err = ERR_INIT;
        _cleanup_vm_record_ struct vm_record r = { 0 };
        json_incref(value);
        change_all(whole, value, other);
        json_array_set(part, i, (json_t *)(uintptr_t)other);
        assert_ok(vm_record_from_json(whole, &r, &err));
        json_array_set(part, i, value);
        json_decref(value);
    }
}

static void b3_what_is_of_another_type_is_not_there(void **state)
{
    (void)state;
    static const char *const others[] = { "null", "true", "17", "-17", "1.5", "1e308", "\"text\"", "[]", "[[{}]]", "{}", "{\"path\":{}}" };
    _cleanup_json_ json_t *j = full(), *untouched = json_deep_copy(j);

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        _cleanup_json_ json_t *other = json_loads(others[i], JSON_DECODE_ANY, NULL);
        assert_non_null(other);
        change_all(j, j, other);
    }
    assert_true(json_equal(j, untouched));
}

static void b3_odd_values_are_read_for_what_they_are_worth(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };
    struct err err = ERR_INIT;
    _cleanup_json_ json_t *j = parse("{\"vm\":7,\"state\":\"dancing\",\"method\":\"magic\",\"consistency\":\"perfect\",\"frozen_ms\":-1,"
                                     "\"down_ms\":7,\"autostart\":1,\"policy\":{\"require\":\"crash\"},\"disks\":[1,{\"covered\":\"yes\","
                                     "\"size\":-4,\"uid\":-1,\"read\":-1},null,{\"covered\":true,\"uid\":4294967295},"
                                     "{\"uid\":0,\"gid\":4294967296},{\"uid\":5,\"gid\":6,\"mode\":131071}],\"parts\":{\"a\":1}}");

    assert_ok(vm_record_from_json(j, &r, &err));
    assert_null(r.name);
    assert_int_equal(r.state, HV_OTHER);
    assert_int_equal(r.method, VM_METHOD_AUTO);
    assert_int_equal(r.consistency, VM_LEVEL_CRASH);
    assert_false(r.frozen_ms.known);
    assert_true(r.down_ms.known);
    assert_false(r.autostart);
    assert_int_equal(r.policy.require, VM_LEVEL_CRASH);
    assert_int_equal(r.n_disks, 4);
    assert_false(r.disks[0].covered);
    assert_int_equal(r.disks[0].size, 0);
    assert_false(r.disks[0].read.known);
    for (size_t i = 0; i < 3; i++)
        assert_false(r.disks[i].owner.known);
    assert_true(r.disks[3].owner.known);
    assert_int_equal(r.disks[3].owner.mode, 07777);
    assert_int_equal(r.n_parts, 0);
}

/* A list of n objects, or texts. */
static json_t *many(size_t n, bool texts)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, texts ? json_string("x") : json_object());
    return list;
}

static void b3_lists_have_ends(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t max;
        bool texts, refused;
    } lists[] = {
        { "conditions", 64, false, false }, { "frozen", 4096, false, false }, { "warnings", 4096, true, false },
        { "disks", 4096, false, true },     { "parts", 4096, false, true },
    };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        _cleanup_vm_record_ struct vm_record r = { 0 };
        _cleanup_json_ json_t *j = json_object();
        json_object_set_new(j, lists[i].key, many(lists[i].max, lists[i].texts));
        assert_ok(vm_record_from_json(j, &r, &err));
        json_array_append_new(json_object_get(j, lists[i].key), lists[i].texts ? json_string("x") : json_object());
        if (lists[i].refused) {
            assert_fails(EUCLEAN, vm_record_from_json(j, &r, &err));
            assert_non_null(strstr(err.text, lists[i].key));
            continue;
        }
        assert_ok(vm_record_from_json(j, &r, &err));
        _cleanup_json_ json_t *again = vm_record_to_json(&r);
        assert_int_equal(json_array_size(json_object_get(again, lists[i].key)), lists[i].max);
    }
}

static void b3_lists_of_a_disk_have_ends(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };
    _cleanup_json_ json_t *j = parse("{\"disks\":[{}]}"), *disk = json_incref(json_array_get(json_object_get(j, "disks"), 0));
    json_t *backing = json_array();
    struct err err = ERR_INIT;

    for (int i = 0; i < 1025; i++)
        json_array_append_new(backing, json_pack("{s:s}", "path", "/x"));
    json_object_set_new(disk, "backing", backing);
    json_object_set_new(disk, "files", many(1025, false));
    assert_ok(vm_record_from_json(j, &r, &err));
    assert_int_equal(strv_len(r.disks[0].backing), 1024);
    assert_int_equal(r.disks[0].n_files, 1024);
}

static void b3_texts_have_ends(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t max;
    } texts[] = { { "vm", 4096 }, { "why", 65536 }, { "since", 4096 }, { "not_quiesced", 65536 } };
    _cleanup_free_ char *longest = malloc(65538);
    struct err err = ERR_INIT;

    assert_non_null(longest);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        for (size_t over = 0; over < 2; over++) {
            _cleanup_vm_record_ struct vm_record r = { 0 };
            _cleanup_json_ json_t *j = json_object();
            memset(longest, 'x', texts[i].max + over);
            longest[texts[i].max + over] = '\0';
            json_object_set_new(j, texts[i].key, json_string(longest));
            assert_ok(vm_record_from_json(j, &r, &err));
            _cleanup_json_ json_t *again = vm_record_to_json(&r);
            assert_int_equal(json_string_length(json_object_get(again, texts[i].key)), over ? 0 : texts[i].max);
        }
}

static void b3_a_summary_is_derived(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };
    _cleanup_json_ json_t *expected =
        parse("{\"name\":\"web01\",\"uuid\":\"aaaaaaaa-0000-4000-8000-000000000001\",\"state\":\"paused\",\"method\":\"child-vm-snapshot\","
              "\"why\":\"all hold\",\"clause\":\"M4\",\"consistency\":\"file-system\",\"frozen_ms\":52.5,\"down_ms\":2100.0,"
              "\"instant\":\"2026-11-22T21:13:05.123Z\",\"checkpoint\":\"kvss-1\",\"warnings\":[\"one\",\"two\"],\"asked\":\"auto\","
              "\"type\":\"incremental\",\"why_type\":\"it had to be\",\"since\":\"0123\",\"dirty\":65536,"
              "\"policy\":{\"method\":\"saved-state\",\"require\":\"application\",\"fallback\":\"fail\"},"
              "\"not_quiesced\":\"the guest did not answer\",\"disks\":1,\"not_covered\":[\"sda\"],"
              "\"whole\":[{\"target\":\"vda\",\"why\":\"no bitmap\"}],\"size\":1073741901,\"read\":4166,\"stored\":1089}");

    fill(&r);
    _cleanup_json_ json_t *summary = vm_record_summary(&r);
    assert_holds(summary, expected, "the summary");
    assert_int_equal(json_object_size(summary), json_object_size(expected));

    /* of kvss before it recorded clauses: listings of those have none either */
    free(r.clause);
    r.clause = NULL;
    _cleanup_json_ json_t *earlier = vm_record_summary(&r);
    assert_null(json_object_get(earlier, "clause"));
    assert_int_equal(json_object_size(earlier), json_object_size(expected) - 1);
}

/* Each field of an entry is compared. */
static void b3_a_changed_summary_is_found(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };
    struct err err = ERR_INIT;
    const char *key;
    json_t *value;
    void *next;

    fill(&r);
    _cleanup_json_ json_t *summary = vm_record_summary(&r);
    _cleanup_free_ char *none = NULL;
    assert_int_equal(vm_record_summary_differs(&r, summary, &none, &err), 0);
    assert_null(none);
    json_object_set_new(summary, "of a later version", json_true());
    assert_int_equal(vm_record_summary_differs(&r, summary, &none, &err), 0);
    json_object_del(summary, "of a later version");
    json_object_foreach_safe (summary, next, key, value) {
        _cleanup_json_ json_t *changed = json_copy(summary), *without = json_copy(summary);
        _cleanup_free_ char *differs = NULL, *missing = NULL;
        json_object_set_new(changed, key, json_string("forged"));
        json_object_del(without, key);
        assert_int_equal(vm_record_summary_differs(&r, changed, &differs, &err), 1);
        assert_int_equal(strncmp(differs, key, strlen(key)), 0);
        assert_non_null(strstr(differs, "\"forged\" in the summary"));
        assert_int_equal(vm_record_summary_differs(&r, without, &missing, &err), 1);
        assert_non_null(strstr(missing, "nothing in the summary"));
    }
}

static void b3_a_preview_is_derived(void **state)
{
    (void)state;
    _cleanup_vm_record_ struct vm_record r = { 0 };

    fill(&r);
    _cleanup_json_ json_t *preview = vm_record_preview(&r);
    assert_string_equal(json_get_text(preview, "name"), "web01");
    assert_string_equal(json_get_text(preview, "level"), "file-system");
    assert_int_equal(json_array_size(json_object_get(preview, "conditions")), 2);
    assert_int_equal(json_object_size(json_array_get(json_object_get(preview, "disks"), 0)), 6);
    assert_string_equal(json_get_text(json_array_get(json_object_get(preview, "disks"), 1), "clause"), "M11");
}

/* What a guest says is read by the same table as what was stored, so it is bounded in the same way. */
static void b3_answers_of_guests(void **state)
{
    struct vm_record_guest g = { 0 }, copy = { 0 };
    _cleanup_json_ json_t *odd = parse("{\"completed\":1,\"broken\":\"no\",\"version\":[],\"writers\":[7,{\"name\":\"a\",\"held\":null,"
                                       "\"components\":{}}],\"hold_ms\":-3,\"events\":\"all\",\"skipped\":null}");

    (void)state;
    assert_int_equal(vm_record_guest_from_json(odd, &g, NULL), 0);
    assert_true(g.known);
    assert_false(g.completed.known || g.broken.known || g.hold_ms.known || g.version || g.skipped);
    assert_int_equal(g.n_writers, 1);
    assert_int_equal(g.writers[0].n_components, 0);
    assert_false(g.writers[0].held.known);
    vm_record_guest_clear(&g);
    assert_false(g.known);
    assert_int_equal(vm_record_guest_copy(&g, &copy, NULL), 0);
    assert_false(copy.known);
    fill_guest(&g);
    assert_int_equal(vm_record_guest_copy(&g, &copy, NULL), 0);
    assert_string_equal(copy.writers[0].components[0].invariant, "position 42");
    assert_string_equal(copy.events[0].event, "Freeze");
    vm_record_guest_clear(&g);
    vm_record_guest_clear(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b3_answers_of_guests),
        cmocka_unit_test(b3_what_is_written_is_read),
        cmocka_unit_test(b3_nothing_is_read_as_nothing),
        cmocka_unit_test(b3_a_record_of_an_earlier_version_is_read_in_full),
        cmocka_unit_test(b3_a_newer_version_is_refused),
        cmocka_unit_test(b3_what_is_of_another_type_is_not_there),
        cmocka_unit_test(b3_odd_values_are_read_for_what_they_are_worth),
        cmocka_unit_test(b3_lists_have_ends),
        cmocka_unit_test(b3_lists_of_a_disk_have_ends),
        cmocka_unit_test(b3_texts_have_ends),
        cmocka_unit_test(b3_a_summary_is_derived),
        cmocka_unit_test(b3_a_changed_summary_is_found),
        cmocka_unit_test(b3_a_preview_is_derived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
