/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a restore would write over something that must stay is found before anything is done: two files in one place, however they are
 * written, and files that are not the VM's own. */
#include "test.h"

#include "requester/restore/restore.h"

struct world {
    struct requester_restore job;
    struct restore_disk disks[2];
    struct restore_vm vms[2];
    struct restore r;
};

/* Two VMs with a disk each. */
static void world_make(struct world *w)
{
    *w = (struct world){ .vms = { { .name = "web", .n_disks = 1 }, { .name = "db", .n_disks = 1 } } };
    w->disks[0].target = w->disks[1].target = "vda";
    w->vms[0].disks = &w->disks[0];
    w->vms[1].disks = &w->disks[1];
    w->r = (struct restore){ .job = &w->job, .n_vms = 2, .vms = w->vms };
}

static void two_files_in_one_place_are_refused(void **state)
{
    _cleanup_free_ char *dir = str_format("%s/dir", (char *)*state), *link = str_format("%s/link", (char *)*state);
    _cleanup_free_ char *plain = str_format("%s/dir/x", (char *)*state), *other = str_format("%s/dir/y", (char *)*state);
    _cleanup_free_ char *linked = str_format("%s/link/x", (char *)*state), *dots = str_format("%s/dir/../link/./x", (char *)*state);
    struct err err = ERR_INIT;
    struct world w;

    world_make(&w);
    assert_ok(io_mkdir_p(dir, 0700, &err));
    assert_int_equal(symlink("dir", link), 0);
    w.disks[0].path = plain;
    w.disks[1].path = other;
    assert_ok(restore_check_clashes(&w.r, &err));
    char *const same[] = { plain, linked, dots };
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        w.disks[1].path = same[i];
        assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
        assert_non_null(strstr(err.text, "vda of VM web and vda of VM db"));
    }
    w.disks[1].path = other;
    w.vms[1].nvram_path = linked; /* also where it is no disk */
    const struct vm_record_part none = { 0 };
    w.vms[1].nvram = &none;
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
    w.vms[1].nvram_path = NULL;
    /* hard links of one file; --overwrite is about files of others, not about this */
    assert_ok(io_replace_file(plain, "x", 1, 0600, &err));
    assert_int_equal(symlink(plain, other), 0);
    w.job.overwrite = true;
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
}

/* A restore writes where a link leads, though nothing is there yet. */
static void links_that_lead_to_one_missing_file_are_refused(void **state)
{
    _cleanup_free_ char *one = str_format("%s/one", (char *)*state), *two = str_format("%s/two", (char *)*state);
    struct err err = ERR_INIT;
    struct world w;

    world_make(&w);
    assert_int_equal(symlink("gone", one), 0);
    assert_int_equal(symlink("gone-too", two), 0);
    w.disks[0].path = one;
    w.disks[1].path = two;
    w.disks[0].own = w.disks[1].own = true;
    assert_ok(restore_check_clashes(&w.r, &err));
    assert_int_equal(unlink(two), 0);
    assert_int_equal(symlink("./gone", two), 0);
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
    assert_non_null(strstr(err.text, "vda of VM web and vda of VM db"));
}

static void what_is_in_the_way_must_be_its_own(void **state)
{
    _cleanup_free_ char *there = str_format("%s/there", (char *)*state), *dangling = str_format("%s/dangling", (char *)*state);
    _cleanup_free_ char *free_place = str_format("%s/not/there/yet", (char *)*state);
    struct err err = ERR_INIT;
    struct world w;

    world_make(&w);
    assert_ok(io_replace_file(there, "x", 1, 0600, &err));
    assert_int_equal(symlink("nowhere", dangling), 0);
    w.disks[0].path = free_place;
    w.disks[1].path = there;
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
    assert_non_null(strstr(err.text, "--overwrite"));
    w.disks[1].own = true;
    assert_ok(restore_check_clashes(&w.r, &err));
    w.disks[1].own = false;
    w.job.overwrite = true;
    assert_ok(restore_check_clashes(&w.r, &err));
    w.job.overwrite = false;
    w.disks[1].path = dangling; /* a link is something, too */
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
}

static void an_nvram_in_its_own_place_is_replaced_but_not_by_a_copy(void **state)
{
    _cleanup_free_ char *there = str_format("%s/web_VARS.fd", (char *)*state), *disk = str_format("%s/vda", (char *)*state);
    struct err err = ERR_INIT;
    struct world w;

    world_make(&w);
    w.r.n_vms = 1;
    assert_ok(io_replace_file(there, "x", 1, 0600, &err));
    w.disks[0].path = disk;
    w.vms[0].nvram_path = there;
    const struct vm_record_part nvram = { .restore_path = there };
    w.vms[0].nvram = &nvram;
    assert_ok(restore_check_clashes(&w.r, &err));
    w.vms[0].as_uuid = (char *)(uintptr_t) "of the copy";
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
    w.vms[0].as_uuid = NULL;
    w.job.images_only = true;
    assert_fails(EEXIST, restore_check_clashes(&w.r, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_files_in_one_place_are_refused, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(links_that_lead_to_one_missing_file_are_refused, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(what_is_in_the_way_must_be_its_own, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(an_nvram_in_its_own_place_is_replaced_but_not_by_a_copy, test_dir_setup, test_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
