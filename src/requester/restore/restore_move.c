/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM that is here, restored to another place: only where --move says so, and then its old images are deleted, once the new VM stands. */
#include "base/guid.h"
#include "base/io.h"
#include "requester/stage/stage.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* The option that names a place; NULL: none does. */
static const char *place_given(const struct requester_restore *job)
{
    if (job->to || job->pool)
        return job->to ? "--to" : "--pool";
    for (char *const *d = job->disks; d && *d; d++)
        if (strchr(*d, '='))
            return "--disk TARGET=PATH";
    return NULL;
}

/* In other tools a place means "put a copy there": which of the three things is meant must be said. */
static int check_said(struct restore *r, struct err *err)
{
    const char *place = place_given(r->job);

    if (!place || r->job->move || r->job->name || r->job->images_only)
        return 0;
    for (size_t i = 0; i < r->n_vms; i++)
        if (r->vms[i].now) {
            r->rq->end = REQUESTER_REFUSED;
            return err_set(err, EEXIST,
                           "VM %s exists on this host. With %s use --name NAME for a copy, --images-only to extract its images, or --move "
                           "to replace it and delete its old images",
                           r->vms[i].name, place);
        }
    return 0;
}

/* ---- Old images -------------------------------------------------------------------------------------------------------------*/

static bool backs(const struct hv_disk *d, const char *path)
{
    for (char **b = d->backing; b && *b; b++)
        if (restore_same_file(*b, path))
            return true;
    return false;
}

static bool is_being_moved(const struct restore *r, const char *uuid)
{
    for (size_t i = 0; i < r->n_vms; i++)
        if (guid_equal(r->vms[i].uuid, uuid))
            return true;
    return false;
}

/* As its disk, or below one of its disks. */
static bool others_use(const struct restore *r, struct hv_domain *const *all, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < all[i]->n_disks; k++) {
            const struct hv_disk *d = &all[i]->disks[k];
            if (is_being_moved(r, all[i]->uuid) ? backs(d, path) : restore_disk_uses(d, path))
                return true;
        }
    return false;
}

static bool move_is_written(const struct restore *r, const char *path)
{
    for (size_t i = 0; i < r->n_vms; i++) {
        for (size_t k = 0; k < r->vms[i].n_disks; k++)
            if (restore_same_file(path, r->vms[i].disks[k].path))
                return true;
        if (r->vms[i].nvram_path && restore_same_file(path, r->vms[i].nvram_path))
            return true;
    }
    return false;
}

/* Only what the restore point holds goes: an image that was not backed up is the last one of its kind. */
static bool move_is_restored(const struct restore_vm *vm, const char *target)
{
    for (size_t k = 0; k < vm->n_disks; k++)
        if (!strcmp(vm->disks[k].target, target))
            return true;
    return false;
}

/* Nothing is added for what is no ordinary file. What cannot be looked at is not deleted. */
static int move_add_old(struct restore_vm *vm, const char *path, struct err *err)
{
    struct restore_old old = { .path = NULL };
    _cleanup_free_ char *name = NULL;
    _cleanup_close_ int dir = -1;
    struct stat st;

    if (io_open_parent(path, &dir, &name, NULL) < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        io_id_of(dir, &old.folder) < 0 || io_id_at(dir, name, &old.id) < 0)
        return 0;
    struct restore_old *more = reallocarray(vm->old, vm->n_old + 1, sizeof(*more));
    if (more)
        vm->old = more;
    if (!more || !(old.path = strdup(path)))
        return err_nomem(err);
    more[vm->n_old++] = old;
    return 0;
}

static int find_old_of(const struct restore *r, struct restore_vm *vm, struct hv_domain *const *all, size_t n, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < vm->now->n_disks && rc >= 0; i++) {
        const struct hv_disk *d = &vm->now->disks[i];
        bool image = d->path && d->source == HV_SOURCE_FILE && d->device == HV_DEVICE_DISK && !d->readonly && !d->shareable && !d->slice;
        if (image && move_is_restored(vm, d->target) && !move_is_written(r, d->path) && !others_use(r, all, n, d->path))
            rc = move_add_old(vm, d->path, err);
    }
    const char *nvram = vm->nvram_path ? vm->now->nvram : NULL;
    if (rc >= 0 && nvram && !move_is_written(r, nvram))
        rc = move_add_old(vm, nvram, err);
    return rc;
}

int restore_plan_move(struct restore *r, struct err *err)
{
    struct hv_domain **all = NULL;
    size_t n = 0;

    int rc = check_said(r, err);
    if (rc < 0 || !r->job->move || !r->s->hv)
        return rc;
    rc = hv_list(r->s->hv, &all, &n, err);
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        if (r->vms[i].now)
            rc = find_old_of(r, &r->vms[i], all, n, err);
    hv_list_free(all, n);
    return rc;
}

bool restore_deletes(const struct restore_vm *vm, const char *path)
{
    for (size_t i = 0; i < vm->n_old; i++)
        if (!strcmp(vm->old[i].path, path))
            return true;
    return false;
}

int restore_enter_old(struct restore *r, const struct restore_vm *vm, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < vm->n_old && rc >= 0; i++) {
        const struct restore_old *o = &vm->old[i];
        uint64_t id;
        const struct journal_arg args[] = {
            { "group", vm->uuid }, { "path", o->path }, { "path_dir", o->folder.text }, { "path_id", o->id.text }, { NULL, NULL },
        };
        rc = journal_begin(r->s->journal, VERB_OLD_IMAGE, args, &id, err);
        if (rc >= 0 && (rc = journal_done(r->s->journal, id)) < 0)
            err_errno(err, -rc, "cannot record %s as an old image", o->path);
    }
    return rc;
}
