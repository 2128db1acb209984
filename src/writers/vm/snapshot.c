/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PrepareForSnapshot (M7, M8): all VMs at once, in phases with barriers, so that the set has one instant (B1):
 *
 *   a  slow preparations, nothing held            barrier: all are ready
 *   b  VMs to be saved are paused
 *   c  guests freeze                              barrier: all are held still. This is the instant
 *   d  a point in time of every disk is taken     barrier: all are taken
 *   e  guests thaw
 *   f  paused VMs are saved
 *
 * A VM that fails breaks the barriers: the others stop where they are, and everything is put back (M10). PostSnapshot (M9) gives
 * each VM back the state it had.
 */
#include "base/clock.h"
#include "writers/vm/internal.h"
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
static int may_go_on(const struct vm_session *s, struct err *err)
{
    if (par_cancelled(&s->broken))
        return err_set(err, ECANCELED, "given up, since another VM of the set failed");
    if (par_cancelled(s->writer->config.cancel))
        return err_set(err, EINTR, "interrupted");
    return 0;
}

static int meet(struct vm_session *s, struct par_barrier *b, struct err *err)
{
    if (!par_barrier_wait(b))
        return err_set(err, ECANCELED, "given up, since another VM of the set failed");
    return may_go_on(s, err);
}

/* What is about to be done to the VM is entered before any VM is held: writing it down must not lengthen that. */
static int announce(struct vm *vm, struct err *err)
{
    int r = 0;

    if (vm->report.method == VM_METHOD_CHILD)
        return vm_effect(vm, VERB_FREEZE, NULL, NULL, &vm->fx_freeze, err);
    if (vm->report.method != VM_METHOD_SAVED)
        return 0;
    hv_domain_ready(vm->dom);
    if (vm->before == HV_RUNNING)
        r = vm_effect(vm, VERB_PAUSE, NULL, NULL, &vm->fx_pause, err);
    return r < 0 ? r : vm_effect(vm, VERB_SAVE, "state", hv_state_name(vm->before), &vm->fx_save, err);
}

/* a. A VM that is off is read under the lock of its images from here on; it must still be off once the lock is held. */
static int prepare(struct vm *vm, struct err *err)
{
    struct err unknown = ERR_INIT;

    int r = vm_keep_definition(vm, err);
    if (r >= 0 && vm->report.method == VM_METHOD_SAVED)
        (void)hv_traits(vm->dom, &vm->traits, &unknown); /* for the report only */
    if (r < 0 || vm->report.method == VM_METHOD_SAVED)
        return r < 0 ? r : announce(vm, err);
    r = vm_prepare_point(vm, vm->report.method == VM_METHOD_CHILD, err);
    if (r < 0 || vm->report.method == VM_METHOD_CHILD)
        return r < 0 ? r : announce(vm, err);

    r = hv_domain_refresh_state(vm->dom, err);
    if (r < 0)
        return r;
    if (vm->dom->state != vm->before)
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "it was %s and is %s now: run the backup again",
                       hv_state_name(vm->before), hv_state_name(vm->dom->state));
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
    if (vm->report.method != VM_METHOD_SAVED && vm->report.method != VM_METHOD_CHILD)
        return 0;
    int r = begin_hold(s, err);
    if (r < 0)
        return r;
    return vm->report.method == VM_METHOD_SAVED ? vm_pause(vm, err) : vm_freeze(vm, err);
}

/* d. The points of saved VMs are taken in PostSnapshot; nothing runs in them before that. */
static int take(struct vm *vm, struct err *err)
{
    if (vm->report.method == VM_METHOD_SAVED)
        return 0;
    return vm_take_point(vm, vm->report.method == VM_METHOD_CHILD, err);
}

/* e and f. NVRAM and TPM are copied right after the thaw: their changes are in the files at once, and hardly ever come. */
static int let_go(struct vm_session *s, struct vm *vm, struct err *err)
{
    switch (vm->report.method) {
    case VM_METHOD_CHILD: {
        int r = release_guest(s, vm, err);
        return r < 0 ? r : vm_keep_firmware(vm, err);
    }
    case VM_METHOD_SAVED: {
        end_hold(s);
        int r = vm_save(vm, err);
        return r < 0 ? r : vm_keep_firmware(vm, err);
    }
    default:
        return 0;
    }
}

static int run_phases(struct vm_session *s, struct vm *vm, struct err *err)
{
    int r = may_go_on(s, err);
    if (r < 0 || (r = prepare(vm, err)) < 0 || (r = meet(s, s->ready, err)) < 0)
        return r;
    if ((r = hold(s, vm, err)) < 0 || (r = meet(s, s->held, err)) < 0)
        return r;
    vm->instant_us = clock_wall_us();
    if ((r = take(vm, err)) < 0 || (r = meet(s, s->taken, err)) < 0)
        return r;
    return let_go(s, vm, err);
}

/* A guest that is frozen is thawed by its own thread as soon as the set is broken, without waiting for the others. */
static void release_early(struct vm_session *s, struct vm *vm)
{
    struct err ignored = ERR_INIT; /* the effect stays in the journal; abort tries again and tells */

    if (vm->frozen_us && !vm->thawed_us && !hv_domain_hangs(vm->dom))
        (void)release_guest(s, vm, &ignored);
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
        free(s->vms[i].set_id);
        if (!(s->vms[i].set_id = strdup(set_id)))
            return err_set(err, ENOMEM, "out of memory");
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

    if (vm->report.method != VM_METHOD_SAVED)
        return 0;
    int r = vm_bring_back(vm, err);
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
