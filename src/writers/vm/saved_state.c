/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved State (M3): paused at the set's instant, saved, and in PostSnapshot started paused from the saved state. The provider's
 * point is taken then, before the first instruction runs: disks and memory are of one instant, and no overlay is made. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>

int vm_pause(struct vm *vm, struct err *err)
{
    if (vm->before != HV_RUNNING)
        return 0; /* a person has paused it, and it stays so */
    int r = hv_domain_refresh_state(vm->dom, err);
    if (r < 0)
        return r;
    if (vm->dom->state != HV_RUNNING) { /* by somebody since it was looked at: the undo of a pause must not let it run */
        vm_effect_settled(vm, &vm->fx_pause);
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "it was running and is %s now: run the backup again",
                       hv_state_name(vm->dom->state));
    }
    vm->paused_us = clock_mono_us();
    r = hv_pause(vm->dom, err);
    return r < 0 ? r : vm_effect_done(vm, vm->fx_pause, err);
}

int vm_unpause(struct vm *vm, struct err *err)
{
    int r = hv_resume(vm->dom, err);

    if (r < 0)
        return r;
    vm->resumed_us = clock_mono_us();
    vm_effect_settled(vm, &vm->fx_pause);
    return 0;
}

int vm_save(struct vm *vm, struct err *err)
{
    bool running = vm->before == HV_RUNNING;

    if (vm->report->cluster)
        return vm_cluster_save(vm, err);
    int r = hv_managed_save(vm->dom, running, err);
    if (r < 0)
        return r;
    r = vm_effect_done(vm, vm->fx_save, err);
    return r < 0 ? r : vm_keep_memory(vm, err);
}

/* A second name in the same folder costs nothing while the VM is down; libvirt only looks there for NAME.save. */
int vm_keep_memory(struct vm *vm, struct err *err)
{
    _cleanup_free_ char *image = NULL, *dir = NULL;
    uint64_t id;

    int r = hv_managed_save_path(vm->dom, &image, err);
    if (r < 0)
        return r;
    if (!io_exists(image))
        return err_set(err, ENOENT, "its saved state is not in %s: if libvirt keeps it elsewhere, set save-dir in kvss.conf", image);
    dir = io_dirname(image);
    vm->memory = dir ? str_format("%s/.kvss-%.8s-%.8s.memory", dir, vm->set_id, vm->dom->uuid) : NULL;
    if (!vm->memory)
        return err_nomem(err);
    r = vm_effect(vm, VERB_PART, "path", vm->memory, &id, err);
    if (r < 0)
        return r;
    r = io_link_or_copy(image, vm->memory, 0600, err);
    if (r < 0)
        return err_context(err, "cannot keep its saved state");
    return vm_effect_done(vm, id, err);
}

/* What the host lost while the VM was saved, it comes back without; the report says so. */
static int state_start_again(struct vm *vm, struct err *err)
{
    _cleanup_strv_ char **notes = NULL;

    int r = hv_start_saved(vm->dom, true, &notes, err);
    if (r == -ETIMEDOUT || r == -EINTR) /* others say so */
        return err_context(err, "cannot start it from its saved state");
    if (r < 0)
        return r;
    for (char **n = notes; n && *n; n++)
        if (strv_addf(&vm->warnings, "after it was saved: %s", *n) < 0)
            return err_nomem(err);
    return 0;
}

/* Of use to people only, so that no failure of it matters. */
static void note_changes(struct vm *vm)
{
    _cleanup_strv_ char **now = NULL, **notes = NULL;
    struct err unknown = ERR_INIT;

    if (hv_traits(vm->dom, &now, &unknown) < 0 || hv_traits_changed(vm->traits, now, &notes) < 0)
        return;
    for (char **n = notes; n && *n; n++)
        (void)strv_addf(&vm->warnings, "after it was saved and started again: %s", *n);
}

int vm_bring_back(struct vm *vm, struct err *err)
{
    /* Started paused: from now on the undo is to let it run, no longer to start it. */
    int r = vm->report->cluster ? vm_cluster_start(vm, err) : state_start_again(vm, err);
    if (r < 0)
        return r;
    if (vm->fx_save)
        vm_effect_settled(vm, &vm->fx_save);

    r = vm_prepare_point(vm, true, err);
    if (r >= 0)
        r = vm_take_point(vm, true, err);
    if (r >= 0 && vm->before == HV_RUNNING)
        r = vm_unpause(vm, err);
    if (r >= 0)
        note_changes(vm);
    return r >= 0 && vm->report->cluster ? vm_cluster_end(vm, err) : r;
}
