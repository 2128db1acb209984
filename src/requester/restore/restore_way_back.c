/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VM that a restore turns off, and starts again should it fail: what that start would lack is found while the VM still has it (B2). */
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

static bool back_is_written(const struct restore_vm *vm, const char *path)
{
    for (size_t i = 0; i < vm->n_disks; i++)
        if (restore_same_file(vm->disks[i].path, path))
            return true;
    return false;
}

/* Half of such a disk may be new when the restore fails: the VM is left off then. */
static bool stays_off(const struct restore_vm *vm)
{
    for (size_t i = 0; i < vm->n_disks; i++)
        if (vm->disks[i].in_place)
            return true;
    return vm->now->state == HV_OFF;
}

/* An image that is gone, or lies on one that is, may be the very reason for the restore: that is told, and no reason against it. */
static int note_lost_images(struct restore_vm *vm, char *const *lacks, char *const *lacks_else, struct err *err)
{
    for (; lacks && *lacks; lacks++)
        if (!strv_has(lacks_else, *lacks) &&
            restore_note(vm, "if the restore fails, the existing VM cannot be started again: this host lacks %s", *lacks) < 0)
            return err_nomem(err);
    return 0;
}

int restore_check_old(const struct restore *r, struct restore_vm *vm, struct err *err)
{
    _cleanup_strv_ char **written = NULL, **lacks = NULL, **lacks_else = NULL, **unsure = NULL;

    if (!vm->now || vm->as_uuid || r->job->images_only || stays_off(vm))
        return 0;
    for (size_t i = 0; i < vm->now->n_disks; i++) {
        const char *path = vm->now->disks[i].path;
        if (path && (back_is_written(vm, path) || restore_deletes(vm, path)) && strv_add(&written, path) < 0)
            return err_nomem(err);
    }
    int rc = hv_start_lacks(vm->now, NULL, &lacks, &unsure, err);
    if (rc >= 0 && lacks)
        rc = hv_start_lacks(vm->now, written, &lacks_else, NULL, err);
    if (rc < 0)
        return err_context(err, "VM %s", vm->name);
    for (char **text = unsure; text && *text; text++)
        if (restore_note(vm, "existing VM: %s", *text) < 0)
            return err_nomem(err);
    if (!lacks_else)
        return note_lost_images(vm, lacks, lacks_else, err);
    _cleanup_free_ char *list = strv_join(lacks_else, "; ");
    bool saved = vm->now->state == HV_SAVED;
    r->rq->end = REQUESTER_REFUSED;
    return err_set(err, EPERM,
                   "VM %s is %s and could not be started again if the restore failed, because this host lacks: %s. Provide it, or %s "
                   "(virsh %s %s): then nothing needs to be started again",
                   vm->now->name, hv_state_name(vm->now->state), list ? list : lacks_else[0],
                   saved ? "discard its saved state first" : "turn the VM off first", saved ? "managedsave-remove" : "destroy",
                   vm->now->name);
}
