/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what people write to what is meant: names, policies, volumes. */
#include "test.h"

#include "requester/session/policy.h"

static const char mountinfo[] = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                                "23 22 0:21 / /proc rw,nosuid - proc proc rw\n"
                                "30 22 8:2 / /srv rw - xfs /dev/sdb rw\n"
                                "31 30 8:3 / /srv/vm\\040images rw - btrfs /dev/sdc rw\n"
                                "32 22 8:4 / /srv-other rw - ext4 /dev/sdd rw\n"
                                "broken line\n";

static void assert_volume(const char *path, const char *wanted)
{
    _cleanup_free_ char *volume = NULL;
    struct err err = ERR_INIT;

    assert_ok(volume_find(mountinfo, path, &volume, &err));
    assert_string_equal(volume, wanted);
}

static void a_volume_is_the_nearest_mount_point(void **state)
{
    (void)state;
    assert_volume("/etc/passwd", "/");
    assert_volume("/", "/");
    assert_volume("/srv", "/srv");
    assert_volume("/srv/a/b", "/srv");
    assert_volume("/srv-other/a", "/srv-other");
    assert_volume("/srvx", "/");
    assert_volume("/srv/vm images/web.qcow2", "/srv/vm images");
    assert_volume("/srv/vm imagesx", "/srv");
}

static void no_mount_point_is_an_error(void **state)
{
    (void)state;
    _cleanup_free_ char *volume = NULL;
    struct err err = ERR_INIT;

    assert_fails(ENOENT, volume_find("30 22 8:2 / /srv rw - xfs /dev/sdb rw\n", "/etc", &volume, &err));
    assert_null(volume);
}

static void the_volume_of_a_file_need_not_wait_for_the_file(void **state)
{
    _cleanup_free_ char *volume = NULL, *same = NULL, *path = str_format("%s/not/there/yet", (char *)*state);
    struct err err = ERR_INIT;

    assert_ok(volume_of(NULL, path, &volume, &err));
    assert_ok(volume_of(NULL, *state, &same, &err));
    assert_string_equal(volume, same);
}

static void a_network_disk_is_its_own_volume(void **state)
{
    (void)state;
    _cleanup_free_ char *volume = NULL;
    struct err err = ERR_INIT;

    assert_ok(volume_of(NULL, "rbd:pool/image", &volume, &err));
    assert_string_equal(volume, "rbd:pool/image");
}

static void what_is_like_a_name_is_found(void **state)
{
    (void)state;
    const char *const names[] = { "web01", "web02", "database", "mail" };

    assert_string_equal(text_similar("web1", names, 4), "web01");
    assert_string_equal(text_similar("WEB02", names, 4), "web02");
    assert_string_equal(text_similar("databse", names, 4), "database");
    assert_string_equal(text_similar("mial", names, 4), "mail");
    assert_null(text_similar("kubernetes", names, 4));
    assert_null(text_similar("x", names, 0));
}

static void disks_are_left_out_by_patterns(void **state)
{
    static const char uuid[] = "0f6a1a0e-7a0b-4c59-a1a5-3c2c1a6b7c01";
    char *const patterns[] = { (char *)"web*:vd[bc]", (char *)"0F6A1A0E-7A0B-4C59-A1A5-3C2C1A6B7C01:sda",
                               (char *)"a:b:hda",     (char *)"x\\*y:vda",
                               (char *)"none",        NULL };
    static const struct {
        const char *vm, *disk, *by; /* NULL: it is backed up */
    } cases[] = {
        { "web1", "vdb", "web*:vd[bc]" }, { "web1", "vda", NULL },     { "mail", "vdb", NULL },
        { "mail", "sda", patterns[1] },   { "a:b", "hda", "a:b:hda" }, { "a", "b:hda", NULL },
        { "x*y", "vda", "x\\*y:vda" },    { "xzy", "vda", NULL },      { "none", "", NULL },
    };
    struct policies p = { .exclude_disks = patterns };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *by = policies_excluded(&p, cases[i].vm, uuid, cases[i].disk);
        if (!cases[i].by)
            assert_null(by);
        else
            assert_string_equal(by, cases[i].by);
    }
    p.exclude_disks = NULL;
    assert_null(policies_excluded(&p, "web1", uuid, "vdb"));
}

static void policies_are_parsed_and_others_refused(void **state)
{
    (void)state;
    _cleanup_(policies_clear) struct policies p = { 0 };
    struct err err = ERR_INIT;

    assert_ok(policies_parse(&(struct requester_policy){ 0 }, &p, &err));
    assert_int_equal(p.all.method, VM_METHOD_AUTO);
    assert_int_equal(p.all.require, VM_LEVEL_CRASH);
    assert_int_equal(p.all.fallback, VM_FALLBACK_AUTO);
    policies_clear(&p);
    assert_ok(policies_parse(&(struct requester_policy){ .method = "child", .require = "file-system", .fallback = "fail" }, &p, &err));
    assert_int_equal(p.all.method, VM_METHOD_CHILD);
    assert_int_equal(p.all.require, VM_LEVEL_FILE_SYSTEM);
    assert_int_equal(p.all.fallback, VM_FALLBACK_FAIL);
    policies_clear(&p);
    assert_ok(policies_parse(&(struct requester_policy){ .method = "crash", .fallback = "crash" }, &p, &err));
    assert_int_equal(p.all.method, VM_METHOD_CRASH);
    assert_int_equal(p.all.fallback, VM_FALLBACK_CRASH);
    policies_clear(&p);
    assert_fails(EINVAL, policies_parse(&(struct requester_policy){ .method = "sideways" }, &p, &err));
    assert_string_equal(err.text, "unknown method 'sideways': use auto, child, saved-state, live-state or crash");
    assert_fails(EINVAL, policies_parse(&(struct requester_policy){ .require = "crash" }, &p, &err));
    assert_fails(EINVAL, policies_parse(&(struct requester_policy){ .fallback = "offline" }, &p, &err));
    assert_null(p.of); /* outputs are untouched on failure */
}

static void a_vms_own_policy_goes_before_that_of_all(void **state)
{
    (void)state;
    static const char uuid[] = "0f0e0d0c-0b0a-4908-8706-050403020100";
    const struct requester_vm_policy vms[] = {
        { .vm = "db01", .require = "application", .fallback = "fail" },
        { .vm = "0F0E0D0C-0B0A-4908-8706-050403020100", .method = "saved-state" },
    };
    const struct requester_policy all = { .require = "file-system", .n_vms = 2, .vms = vms };
    _cleanup_(policies_clear) struct policies p = { 0 };
    struct err err = ERR_INIT;

    assert_ok(policies_parse(&all, &p, &err));
    struct vm_policy found = policies_find(&p, "db01", "11111111-0b0a-4908-8706-050403020100");
    assert_int_equal(found.require, VM_LEVEL_APPLICATION);
    assert_int_equal(found.fallback, VM_FALLBACK_FAIL);
    assert_int_equal(found.method, VM_METHOD_AUTO);
    found = policies_find(&p, "web", uuid); /* by UUID, written in another way */
    assert_int_equal(found.method, VM_METHOD_SAVED);
    assert_int_equal(found.require, VM_LEVEL_FILE_SYSTEM);
    assert_int_equal(policies_find(&p, "other", "11111111-0b0a-4908-8706-050403020100").method, VM_METHOD_AUTO);
}

static void what_a_run_learns_stays_for_that_vm(void **state)
{
    (void)state;
    static const char one[] = "0f0e0d0c-0b0a-4908-8706-050403020100", two[] = "11111111-0b0a-4908-8706-050403020100";
    _cleanup_(policies_clear) struct policies p = { 0 };
    struct err err = ERR_INIT;

    assert_ok(policies_parse(&(struct requester_policy){ .fallback = "saved-state" }, &p, &err));
    struct vm_policy found = policies_find(&p, "one", one);
    assert_true(policy_may_fall_back(&found, false));
    assert_ok(policies_learn(&p, one, "the agent did not answer", &err));
    found = policies_find(&p, "one", one);
    assert_string_equal(found.not_quiesced, "the agent did not answer");
    assert_false(policy_may_fall_back(&found, false)); /* once is enough */
    found = policies_find(&p, "two", two);
    assert_null(found.not_quiesced);
    found.require = VM_LEVEL_FILE_SYSTEM;
    assert_false(policy_may_fall_back(&found, false));
    found = (struct vm_policy){ .fallback = VM_FALLBACK_AUTO };
    assert_false(policy_may_fall_back(&found, false)); /* M10 */
    found = (struct vm_policy){ .fallback = VM_FALLBACK_FAIL };
    assert_false(policy_may_fall_back(&found, false));
    found = (struct vm_policy){ .fallback = VM_FALLBACK_CRASH };
    assert_true(policy_may_fall_back(&found, false));
    found.require = VM_LEVEL_SAVED_STATE; /* a saved state would do, the fallback does not */
    assert_false(policy_may_fall_back(&found, false));
    found = (struct vm_policy){ .method = VM_METHOD_CHILD, .fallback = VM_FALLBACK_SAVED };
    assert_false(policy_may_fall_back(&found, false));
}

static void file_systems_alone_are_for_guests_whose_writers_refuse(void **state)
{
    (void)state;
    struct vm_policy p = { .method = VM_METHOD_CHILD, .require = VM_LEVEL_FILE_SYSTEM, .fallback = VM_FALLBACK_FILE_SYSTEM };

    assert_true(policy_may_fall_back(&p, true));
    assert_false(policy_may_fall_back(&p, false)); /* the agent failed: it would again */
    p.require = VM_LEVEL_APPLICATION;
    assert_false(policy_may_fall_back(&p, true));
    p.require = VM_LEVEL_CRASH;
    p.not_quiesced = "the database is busy";
    assert_false(policy_may_fall_back(&p, true)); /* once is enough */
    p = (struct vm_policy){ .fallback = VM_FALLBACK_SAVED };
    assert_true(policy_may_fall_back(&p, true));
    p = (struct vm_policy){ .fallback = VM_FALLBACK_AUTO };
    assert_false(policy_may_fall_back(&p, true)); /* M10 */
}

static void the_first_line_of_a_password_file_is_the_passphrase(void **state)
{
    _cleanup_free_ char *path = io_path(*state, "password");
    struct requester rq = { .config = { .password_file = path, .passphrase = "from the environment" } };
    _cleanup_(key_wipe_p) char *key = NULL;
    struct err err = ERR_INIT;

    write_text(path, "s3cret word\r\nsecond line\n");
    assert_ok(key_given(&rq, &key, &err));
    assert_string_equal(key, "s3cret word");
    key_wipe(TAKE_PTR(key));
    write_text(path, "\nsecond line\n");
    assert_fails(EINVAL, key_given(&rq, &key, &err));
    rq.config.password_file = NULL;
    assert_ok(key_given(&rq, &key, &err));
    assert_string_equal(key, "from the environment");
}

static void nobody_to_ask_is_an_error_that_says_what_to_do(void **state)
{
    (void)state;
    struct requester rq = { 0 };
    char *key = NULL;
    struct err err = ERR_INIT;

    assert_fails(EACCES, key_asked(&rq, "?", false, &key, &err));
    assert_non_null(strstr(err.text, "--password-file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_the_nearest_mount_point),
        cmocka_unit_test(no_mount_point_is_an_error),
        test_in_dir(the_volume_of_a_file_need_not_wait_for_the_file),
        cmocka_unit_test(a_network_disk_is_its_own_volume),
        cmocka_unit_test(what_is_like_a_name_is_found),
        cmocka_unit_test(disks_are_left_out_by_patterns),
        cmocka_unit_test(policies_are_parsed_and_others_refused),
        cmocka_unit_test(a_vms_own_policy_goes_before_that_of_all),
        cmocka_unit_test(what_a_run_learns_stays_for_that_vm),
        cmocka_unit_test(file_systems_alone_are_for_guests_whose_writers_refuse),
        test_in_dir(the_first_line_of_a_password_file_is_the_passphrase),
        cmocka_unit_test(nobody_to_ask_is_an_error_that_says_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
