/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PrepareForSnapshot (M7, M8): all VMs at once, in phases with barriers, so that the set has one instant (B1):
 *
 *   a  what has changed since; slow preparations, nothing held; guest writers prepare    barrier: all are ready
 *   b  VMs to be saved, or whose memory is to be written while they run, are paused; by the method "crash" only where there are others
 *   c  guests freeze                              barrier: all are held still. This is the instant
 *   d  a point in time of every disk is taken     barrier: all are taken
 *   e  guests thaw; what guest writers say in the end is the verdict on them
 *   f  paused VMs are saved; or let run, and their memory is written where that is the method
 *
 * A VM that fails breaks the barriers: the others stop where they are, and everything is put back (M10). PostSnapshot (M9) gives
 * each VM back the state it had.
 */
#include "base/clock.h"
#include "writers/vm/vm_internal.h"
#include "writers/vm/windows_writers.h"
#include <errno.h>
#include <string.h>

static void break_set(struct vm_session *s, const struct vm *vm, struct err *why)
{
    err_context(why, "VM %s", vm->dom->name);
    pthread_mutex_lock(&s->lock);
    if (!s->first.code)
        s->first = *why;
    pthread_mutex_unlock(&s->lock);
    par_cancel_raise(&s->broken);
    par_barrier_break(s->ready);
    par_barrier_break(s->held);
    par_barrier_break(s->taken);
}

/* 0, or the reason to stop at this step. */
static int snapshot_may_go_on(const struct vm_session *s, struct err *err)
{
    if (par_cancelled(&s->broken))
        return err_set(err, ECANCELED, "abandoned because another VM of the set failed");
    if (par_cancelled(s->writer->config.cancel))
        return err_set(err, EINTR, "interrupted");
    return 0;
}

static int snapshot_meet(struct vm_session *s, struct par_barrier *b, struct err *err)
{
    if (!par_barrier_wait(b))
        return err_set(err, ECANCELED, "abandoned because another VM of the set failed");
    return snapshot_may_go_on(s, err);
}

/* The disks of one VM are of one instant anyway; those of several only if nothing writes between the first point and the last. */
static bool waits_for_others(const struct vm *vm)
{
    return vm->report->method == VM_METHOD_CRASH && vm->in_company && vm->before == HV_RUNNING;
}

/* What is about to be done to the VM is entered before any VM is held: writing it down must not lengthen that. */
static int announce(struct vm *vm, struct err *err)
{
    int r = 0;

    if (vm->report->method == VM_METHOD_CHILD)
        return vm_effect(vm, VERB_FREEZE, NULL, NULL, &vm->fx_freeze, err);
    if (waits_for_others(vm)) {
        hv_domain_ready(vm->dom);
        return vm_effect(vm, VERB_PAUSE, NULL, NULL, &vm->fx_pause, err);
    }
    if (vm->report->method != VM_METHOD_SAVED)
        return 0;
    hv_domain_ready(vm->dom);
    if (vm->report->cluster)
        r = vm_cluster_begin(vm, err);
    if (r >= 0 && vm->before == HV_RUNNING)
        r = vm_effect(vm, VERB_PAUSE, NULL, NULL, &vm->fx_pause, err);
    if (r >= 0 && vm->report->cluster)
        return vm_cluster_announce_save(vm, err);
    return r < 0 ? r : vm_effect(vm, VERB_SAVE, "state", hv_state_name(vm->before), &vm->fx_save, err);
}

/* Its QEMU runs while its point is taken. */
static bool runs_at_point(const struct vm *vm)
{
    return vm->report->method == VM_METHOD_CHILD || vm->report->method == VM_METHOD_CRASH || vm->report->method == VM_METHOD_LIVE;
}

/* a. A VM that is off is read under the lock of its images from here on; it must still be off once the lock is held. */
static int snapshot_prepare(struct vm *vm, struct err *err)
{
    bool active = runs_at_point(vm);
    struct err unknown = ERR_INIT;

    int r = vm_keep_definition(vm, err);
    if (r >= 0 && vm->report->method == VM_METHOD_SAVED)
        (void)hv_traits(vm->dom, &vm->traits, &unknown); /* for the report only */
    if (r < 0 || vm->report->method == VM_METHOD_SAVED)
        return r < 0 ? r : announce(vm, err);
    if (vm->report->method == VM_METHOD_LIVE)
        return vm_prepare_live(vm, err);
    r = vm_prepare_point(vm, active, err);
    if (r >= 0 && vm->report->method == VM_METHOD_CHILD)
        r = vm_guest_begin(vm, err);
    if (r < 0 || active)
        return r < 0 ? r : announce(vm, err);

    r = hv_domain_refresh_state(vm->dom, err);
    if (r < 0)
        return r;
    if (vm->dom->state != vm->before)
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "it was %s and is %s now: run the backup again", hv_state_name(vm->before),
                       hv_state_name(vm->dom->state));
    if (vm->before == HV_SAVED)
        r = vm_keep_memory(vm, err);
    return r < 0 ? r : vm_keep_firmware(vm, err);
}

/* The watchdog's deadline runs from before the first guest is held until after the last is let go: thawed, or about to be saved. */
static int begin_hold(struct vm_session *s, struct err *err)
{
    const struct vm_writer_config *c = &s->writer->config;

    __atomic_add_fetch(&s->n_held, 1, __ATOMIC_SEQ_CST);
    return journal_deadline(c->journal, JOURNAL_HELD_VMS, c->hold_limit_ms ? c->hold_limit_ms : HOLD_LIMIT_MS, err);
}

static void end_hold(struct vm_session *s)
{
    if (__atomic_sub_fetch(&s->n_held, 1, __ATOMIC_SEQ_CST) == 0)
        (void)journal_deadline(s->writer->config.journal, JOURNAL_HELD_VMS, 0, NULL); /* passing for nothing does no harm */
}

static int release_guest(struct vm_session *s, struct vm *vm, struct err *err)
{
    int r = vm_thaw(vm, err);

    if (r >= 0)
        end_hold(s);
    return r;
}

/* b and c. */
static int hold(struct vm_session *s, struct vm *vm, struct err *err)
{
    bool child = vm->report->method == VM_METHOD_CHILD;

    if (!child && vm->report->method != VM_METHOD_SAVED && vm->report->method != VM_METHOD_LIVE && !waits_for_others(vm))
        return 0;
    int r = begin_hold(s, err);
    if (r < 0)
        return r;
    if (!child)
        return vm_pause(vm, err);
    r = vm_guest_hold(vm, err);
    return r < 0 ? r : vm_freeze(vm, err);
}

/* d. The points of saved VMs are taken in PostSnapshot; nothing runs in them before that. */
static int snapshot_take(struct vm *vm, struct err *err)
{
    if (vm->report->method == VM_METHOD_SAVED)
        return 0;
    return vm_take_point(vm, runs_at_point(vm), err);
}

static int live_may_go_on(void *priv, struct err *err)
{
    return snapshot_may_go_on(priv, err);
}

static int write_live(struct vm_session *s, struct vm *vm, struct err *err)
{
    const struct hv_live_stop stop = { live_may_go_on, s };

    int r = vm_begin_live(vm, err);
    if (r < 0)
        return r;
    end_hold(s);
    r = vm_keep_firmware(vm, err); /* now, not when the memory is written: it belongs to the instant */
    return r < 0 ? r : vm_finish_live(vm, &stop, err);
}

/* e and f. NVRAM and TPM are copied right after the thaw: their changes are in the files at once, and hardly ever come. */
static int let_go(struct vm_session *s, struct vm *vm, struct err *err)
{
    switch (vm->report->method) {
    case VM_METHOD_CHILD: {
        int r = release_guest(s, vm, err);
        if (r >= 0)
            r = vm_keep_firmware(vm, err);
        return r < 0 ? r : vm_guest_end(vm, err);
    }
    case VM_METHOD_SAVED: {
        end_hold(s);
        int r = vm_save(vm, err);
        return r < 0 ? r : vm_keep_firmware(vm, err);
    }
    case VM_METHOD_LIVE: return write_live(s, vm, err);
    case VM_METHOD_CRASH: {
        int r = waits_for_others(vm) ? vm_unpause(vm, err) : 0;
        if (r >= 0 && waits_for_others(vm))
            end_hold(s);
        return r < 0 ? r : vm_keep_firmware(vm, err);
    }
    default: return 0;
    }
}

static int run_phases(struct vm_session *s, struct vm *vm, struct err *err)
{
    int r = snapshot_may_go_on(s, err);
    if (r < 0 || (r = vm_known_still(vm, err)) < 0 || (r = snapshot_prepare(vm, err)) < 0 || (r = snapshot_meet(s, s->ready, err)) < 0)
        return r;
    if ((r = hold(s, vm, err)) < 0 || (r = snapshot_meet(s, s->held, err)) < 0)
        return r;
    vm->instant_us = clock_wall_us();
    if ((r = snapshot_take(vm, err)) < 0 || (r = snapshot_meet(s, s->taken, err)) < 0)
        return r;
    return let_go(s, vm, err);
}

/* A guest that is frozen is thawed by its own thread as soon as the set is broken, without waiting for the others. */
static void release_early(struct vm_session *s, struct vm *vm)
{
    struct err ignored = ERR_INIT; /* the effect stays in the journal; abort tries again and tells */

    if (vm->frozen_us && !vm->thawed_us && !hv_domain_hangs(vm->dom))
        (void)release_guest(s, vm, &ignored);
    if (vm->paused_us && !vm->resumed_us && vm->report->method != VM_METHOD_SAVED && !hv_domain_hangs(vm->dom))
        vm_release_paused(vm);
}

static int prepare_one(void *ctx, size_t i, struct err *err)
{
    struct vm_session *s = ctx;
    struct vm *vm = &s->vms[i];

    int r = run_phases(s, vm, err);
    if (r >= 0)
        return 0;
    if (r != -ECANCELED)
        break_set(s, vm, err);
    if (r != -ECANCELED && r != -EINTR)
        vm->failed = *err;
    release_early(s, vm);
    return r;
}

int vm_session_prepare_snapshot(struct vm_session *s, const char *set_id, struct err *err)
{
    struct err undo = ERR_INIT, why = ERR_INIT;

    for (size_t i = 0; i < s->n; i++) {
        s->vms[i].in_company = s->n > 1;
        free(s->vms[i].set_id);
        if (!(s->vms[i].set_id = strdup(set_id)))
            return err_nomem(err);
    }
    int r = par_each(s->n, 0, prepare_one, s, &why);
    if (r >= 0)
        return 0;
    /* VSS raises no Abort of its own here; a guest must not wait for the requester's. */
    (void)vm_session_undo(s, &undo);
    return s->first.code ? err_move(err, &s->first) : err_move(err, &why);
}

static int post_one(void *ctx, size_t i, struct err *err)
{
    struct vm_session *s = ctx;
    struct vm *vm = &s->vms[i];
    int r = 0;

    if (vm->report->method == VM_METHOD_SAVED)
        r = vm_bring_back(vm, err);
    else if (vm->report->method == VM_METHOD_CHILD)
        r = vm_windows_end(vm, err);
    if (r < 0) {
        err_context(err, "VM %s", vm->dom->name);
        vm->failed = *err;
    }
    return r < 0 ? r : 0;
}

int vm_session_post_snapshot(struct vm_session *s, struct err *err)
{
    return par_each(s->n, 0, post_one, s, err);
}

int vm_session_undo(struct vm_session *s, struct err *err)
{
    struct journal *j = s->writer->config.journal;

    if (!j)
        return 0;
    int r = journal_undo_all(j, err);
    (void)journal_deadline(j, JOURNAL_HELD_VMS, 0, NULL);
    return r;
}
