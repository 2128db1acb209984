/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The definitions of a VM in a restore point: that for its next start, and the one that it ran with, which may have other devices. Points
 * of earlier versions hold the second only in the head of the saved memory, or not at all; a disk that only the running VM had is in no
 * definition then, and is plugged in again as far as its record tells. */
#include "requester/trust/trust.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

int restore_note(struct restore_vm *vm, const char *fmt, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return -ENOMEM;
    }
    if (!vm->notes && !(vm->notes = json_array()))
        return -ENOMEM;
    return json_array_append_new(vm->notes, json_text(text)) < 0 ? -ENOMEM : 0;
}

const struct hv_def *restore_definition(const struct restore_vm *vm)
{
    bool starts = !strcmp(vm->state, "running") || !strcmp(vm->state, "paused");

    return vm->live && (vm->with_memory || (starts && vm->live_differs)) ? vm->live : vm->def;
}

const char *restore_disk_in(const struct restore_vm *vm, const struct hv_def *def, const struct restore_disk *d)
{
    bool live = def == vm->live;
    const char *found = live ? NULL : hv_def_find_image(NULL, def, d->target, d->was);

    return found ? found : (live || !vm->both) && hv_def_has_disk(def, d->target) ? d->target : NULL;
}

/* What neither definition has, the VM had all the same when it ran: as its name says, virtio for "vdb". */
static int add_missing(struct restore_vm *vm, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    int rc = 0;

    for (size_t k = 0; k < vm->n_disks && rc >= 0; k++) {
        const struct restore_disk *d = &vm->disks[k];
        if (restore_disk_in(vm, vm->def, d) || (vm->live && restore_disk_in(vm, vm->live, d)))
            continue;
        if (!vm->live && ((rc = hv_def_text(vm->def, &xml, err)) < 0 || (rc = hv_def_parse(xml, &vm->live, err)) < 0))
            break;
        rc = hv_def_add_disk(vm->live, d->target, d->was && d->was[0] == '/' ? d->was : "/", d->format, err);
        if (rc >= 0 && restore_note(vm,
                                    "disk %s: the restore point lacks the definition that the VM was running with and contains only its "
                                    "persistent definition, which does not have the disk; other temporary devices are not known",
                                    d->target) < 0)
            rc = err_nomem(err);
    }
    return rc;
}

/* Where it is no part of the point, or one that cannot be read, the saved memory has it too. */
static int find_live(struct restore *r, struct restore_vm *vm, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = 0;

    if (restore_find_part(vm, VM_PART_LIVE))
        rc = demands_read_part(r->point, restore_find_part(vm, VM_PART_LIVE), &vm->live, &why);
    if (!vm->live && restore_find_part(vm, VM_PART_MEMORY))
        rc = demands_read_memory(r->point, restore_find_part(vm, VM_PART_MEMORY), &vm->live, &why);
    if (rc < 0 && restore_note(vm, "the definition that the VM was running with cannot be read: %s", why.text) < 0)
        return err_nomem(err);
    vm->both = vm->live != NULL;
    return 0;
}

static int read_live(struct restore *r, struct restore_vm *vm, struct err *err)
{
    int rc = find_live(r, vm, err);

    if (rc >= 0)
        rc = add_missing(vm, err);
    return rc >= 0 && vm->live ? hv_def_settle_live(vm->live, vm->def, &vm->live_differs, err) : rc;
}

/* Images are had without any definition: one that cannot be read is only told of. */
int restore_read_definitions(struct restore *r, struct restore_vm *vm, struct err *err)
{
    struct err why = ERR_INIT;

    int rc = demands_read_part(r->point, restore_find_part(vm, VM_PART_DEFINITION), &vm->def, &why);
    if (rc >= 0)
        return read_live(r, vm, err);
    err_context(&why, "VM %s, definition", vm->name);
    if (!r->job->images_only)
        return err_move(err, &why);
    return restore_note(vm, "%s: its images are restored without it", why.text) < 0 ? err_nomem(err) : 0;
}

int restore_note_disks(const struct restore *r, struct restore_vm *vm, struct err *err)
{
    const struct hv_def *def = vm->def ? restore_definition(vm) : NULL;

    for (size_t k = 0; k < vm->n_disks && def && !vm->part && !r->job->images_only; k++) {
        const struct restore_disk *d = &vm->disks[k];
        if (restore_disk_in(vm, def, d))
            continue;
        if (restore_note(vm,
                         "disk %s was attached only to the running VM and is not in its persistent definition; the image is %s (to add it: "
                         "virsh attach-disk %s %s %s --config)",
                         d->target, d->path, restore_name(r, vm), d->path, d->target) < 0)
            return err_nomem(err);
    }
    return 0;
}
