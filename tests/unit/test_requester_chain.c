/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a disk is still the one that an earlier restore point holds (B4). */
#include "test.h"

#include "requester/backup/chain.h"
#include <fcntl.h>
#include <sys/stat.h>

struct place {
    char *image, *base;
    struct vm_record now; /* one disk, as it is now */
    struct chain_vm vm;   /* stands on a point that recorded the same */
};

static void record_disk(const struct place *p, struct vm_record *ret)
{
    vm_record_clear(ret);
    ret->disks = calloc(1, sizeof(*ret->disks));
    ret->n_disks = 1;
    struct vm_record_disk *d = &ret->disks[0];
    d->target = strdup("vda");
    d->path = strdup(p->image);
    d->format = strdup("qcow2");
    d->size = 65536;
    assert_int_equal(strv_add(&d->backing, p->base), 0);
    assert_int_equal(chain_record_files(d, NULL), 0);
}

static struct vm_record_disk *disk_of(struct vm_record *r)
{
    assert_int_equal(r->n_disks, 1);
    return &r->disks[0];
}

static void place_new(struct place *p, const char *dir)
{
    p->image = io_path(dir, "image");
    p->base = io_path(dir, "base");
    write_text(p->image, "image");
    write_text(p->base, "base");
    record_disk(p, &p->now);
    record_disk(p, &p->vm.record);
    disk_of(&p->vm.record)->stored_as = strdup("vm/x/disk/vda");
}

static void place_clear(struct place *p)
{
    free(p->image);
    free(p->base);
    vm_record_clear(&p->now);
    vm_record_clear(&p->vm.record);
}

/* Looks again at the files. */
static void look(struct place *p)
{
    record_disk(p, &p->now);
}

static void assert_trusted(struct place *p)
{
    char *why = NULL;
    const char *image = chain_image(&p->vm, disk_of(&p->now), &why);

    assert_null(why);
    assert_string_equal(image, "vm/x/disk/vda");
}

static void assert_doubted(struct place *p, const char *reason)
{
    char *why = NULL;

    assert_null(chain_image(&p->vm, disk_of(&p->now), &why));
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

static void set_text(char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
}

static void b4_what_differs_is_named(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };

    place_new(&p, *state);
    set_text(&disk_of(&p.now)->target, "vdb");
    assert_doubted(&p, "not in the earlier");
    look(&p);
    set_text(&disk_of(&p.now)->path, "/elsewhere");
    assert_doubted(&p, "location has changed");
    look(&p);
    set_text(&disk_of(&p.now)->format, "raw");
    assert_doubted(&p, "format");
    look(&p);
    disk_of(&p.now)->size = 131072;
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
    assert_doubted(&p, "backing image was replaced");
}

static void b4_a_changed_backing_file_is_not_trusted(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };

    place_new(&p, *state);
    assert_int_equal(utimensat(AT_FDCWD, p.base, times, 0), 0);
    look(&p);
    assert_doubted(&p, "backing image was replaced");
}

/* Reads the record of the earlier point as it is without that member of its disk, or of itself. */
static void forget_member(struct place *p, const char *of_disk, const char *of_record)
{
    json_t *j = vm_record_to_json(&p->vm.record);

    if (of_disk)
        assert_int_equal(json_object_del(json_array_get(json_object_get(j, "disks"), 0), of_disk), 0);
    if (of_record)
        assert_int_equal(json_object_del(j, of_record), 0);
    assert_int_equal(vm_record_from_json(j, &p->vm.record, NULL), 0);
    json_decref(j);
}

static void b4_a_disk_that_was_not_stored_or_of_an_older_record_is_not_trusted(void **state)
{
    _cleanup_(place_clear) struct place p = { 0 };

    place_new(&p, *state);
    forget_member(&p, NULL, NULL);
    assert_trusted(&p);
    forget_member(&p, "files", NULL);
    assert_doubted(&p, "backing image was replaced");
    forget_member(&p, "stored_as", NULL);
    assert_doubted(&p, "not backed up");
    forget_member(&p, NULL, "disks");
    assert_doubted(&p, "not in the earlier");
    free(TAKE_PTR(disk_of(&p.now)->target));
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
