/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What would be written over something that must stay: two files of the restore in one place, files and devices of others. */
#include "base/io.h"
#include "requester/trust/trust.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

bool restore_same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    if (!strcmp(a, b))
        return true;
    if (stat(a, &sa) < 0 || stat(b, &sb) < 0)
        return false;
    if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode))
        return sa.st_rdev == sb.st_rdev; /* two nodes of one device */
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

struct clash_claim {
    char *place;
    const char *vm, *what;
};

struct places_taken {
    size_t n, room;
    struct clash_claim *list;
};

static void places_clear(struct places_taken *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->list[i].place);
    free(c->list);
}

static int clash_claim(struct places_taken *c, const char *path, const char *vm, const char *what, struct err *err)
{
    char *place = allow_real_place(path);

    if (!place)
        return err_nomem(err);
    for (size_t i = 0; i < c->n; i++)
        if (restore_same_file(c->list[i].place, place)) {
            err_set(err, EEXIST,
                    "%s of VM %s and %s of VM %s would both be restored to %s: restore the VMs one at a time, or choose places with --disk "
                    "TARGET=PATH",
                    c->list[i].what, c->list[i].vm, what, vm, path);
            free(place);
            return -EEXIST;
        }
    c->list[c->n++] = (struct clash_claim){ place, vm, what };
    return 0;
}

static int check_twice(const struct restore *r, struct err *err)
{
    _cleanup_(places_clear) struct places_taken c = { 0 };
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < r->n_vms; i++)
        n += r->vms[i].n_disks + 1;
    c.list = calloc(n + 1, sizeof(*c.list));
    if (!c.list)
        return err_nomem(err);
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++) {
        const struct restore_vm *vm = &r->vms[i];
        for (size_t k = 0; k < vm->n_disks && rc >= 0; k++)
            rc = clash_claim(&c, vm->disks[k].path, vm->name, vm->disks[k].target, err);
        if (rc >= 0 && vm->nvram_path)
            rc = clash_claim(&c, vm->nvram_path, vm->name, "NVRAM", err);
    }
    return rc;
}

static int check_disk(const struct restore *r, const struct restore_vm *vm, const struct restore_disk *d, struct err *err)
{
    struct stat st;

    if (d->own || r->job->overwrite)
        return 0;
    if (lstat(d->path, &st) < 0) /* only that one answer means that nothing is there */
        return errno == ENOENT ? 0 : err_errno(err, errno, "VM %s, disk %s: cannot access %s", vm->name, d->target, d->path);
    if (d->block_device)
        return err_set(
            err, EEXIST,
            "VM %s, disk %s: block device %s is not currently a disk of this VM; use --overwrite to overwrite it, whatever it contains",
            vm->name, d->target, d->path);
    return err_set(err, EEXIST, "VM %s, disk %s: %s already exists and does not belong to this VM; use --overwrite to replace it", vm->name,
                   d->target, d->path);
}

/* A VM's NVRAM in its own place is replaced; a copy's place must be free. */
static int check_nvram(const struct restore *r, const struct restore_vm *vm, struct err *err)
{
    struct stat st;

    if (!vm->nvram_path || r->job->overwrite)
        return 0;
    if (lstat(vm->nvram_path, &st) < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "VM %s, NVRAM: cannot access %s", vm->name, vm->nvram_path);
    const char *was = vm->nvram ? vm->nvram->restore_path : NULL;
    bool own = !vm->as_uuid && !r->job->images_only &&
               ((was && !strcmp(was, vm->nvram_path)) || (vm->now && vm->now->nvram && restore_same_file(vm->now->nvram, vm->nvram_path)));
    return own ? 0
               : err_set(err, EEXIST, "VM %s, NVRAM: %s already exists and does not belong to this VM; use --overwrite to replace it",
                         vm->name, vm->nvram_path);
}

int restore_check_clashes(const struct restore *r, struct err *err)
{
    int rc = check_twice(r, err);

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++) {
        const struct restore_vm *vm = &r->vms[i];
        for (size_t k = 0; k < vm->n_disks && rc >= 0; k++)
            rc = check_disk(r, vm, &vm->disks[k], err);
        if (rc >= 0)
            rc = check_nvram(r, vm, err);
    }
    return rc;
}
