/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that were left out of the backup as asked for. Their images, if they are here, stay as they are; a VM whose images are not here
 * comes back without those disks, since it could not be started with them. A copy gets none of them (restore_shared.c). */
#include "base/io.h"
#include "requester/restore/restore.h"
#include <errno.h>

static void drop_from(struct hv_def *def, const struct vm_record_disk *d)
{
    const char *here = def ? hv_def_find_image(NULL, def, d->target, d->path) : NULL;

    if (here)
        hv_def_drop_disk(def, here);
}

/* The memory has the file systems of the disk as they were: what it writes to a later state damages them. */
static int against_memory(const struct restore_vm *vm, const struct vm_record_disk *d, bool here, struct err *err)
{
    if (here)
        return err_set(err, EINVAL,
                       "VM %s: disk %s was left out of the backup (%s), and resuming the memory in the restore point could damage what its "
                       "image %s holds now: use --discard-memory",
                       vm->name, d->target, d->why, d->path ? d->path : "");
    return err_set(err, ENOENT,
                   "VM %s: disk %s was left out of the backup (%s) and its image %s does not exist on this host, but the memory "
                   "in the restore point expects it: use --discard-memory",
                   vm->name, d->target, d->why, d->path);
}

static int without_disk(struct restore_vm *vm, const struct vm_record_disk *d, struct err *err)
{
    if (!vm->absent && !(vm->absent = json_object()))
        return err_nomem(err);
    if (json_object_set_new(vm->absent, d->target, json_text(d->path)) < 0)
        return err_nomem(err);
    drop_from(vm->def, d);
    drop_from(vm->live, d);
    return restore_note(
               vm,
               "disk %s is not in the restore point (%s), and its image %s does not exist on this host: the VM is restored without "
               "the disk",
               d->target, d->why, d->path) < 0
               ? err_nomem(err)
               : 0;
}

static int note_one(const struct restore *r, struct restore_vm *vm, const struct vm_record_disk *d, struct err *err)
{
    bool local = d->path && d->path[0] == '/', here = !local || io_exists(d->path);

    if (r->job->images_only)
        return restore_note(vm, "disk %s is not in the restore point: %s", d->target, d->why) < 0 ? err_nomem(err) : 0;
    if (vm->with_memory && !(here && d->readonly))
        return against_memory(vm, d, here, err);
    if (!here)
        return without_disk(vm, d, err);
    return restore_note(vm, "disk %s is not in the restore point (%s): its image %s stays as it is now and may not match the other disks",
                        d->target, d->why, d->path ? d->path : "") < 0
               ? err_nomem(err)
               : 0;
}

int restore_note_excluded(const struct restore *r, struct restore_vm *vm, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < vm->record.n_disks && rc >= 0 && !vm->part && !vm->as_uuid; i++) {
        const struct vm_record_disk *d = &vm->record.disks[i];
        if (d->excluded_by && !d->covered && d->target && d->why)
            rc = note_one(r, vm, d, err);
    }
    return rc;
}
