/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Child VM Snapshot: the guest freezes, the provider takes the point of all its disks, the guest thaws (M4, M7). With the qemu
 * provider the point needs no roll-back in PostSnapshot: the job's exports show the frozen instant by themselves (M9). */
#include "base/clock.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define WINDOWS_HOLD_MS 10000u /* VSS in the guest holds writes for no longer, and the agent's provider neither */

static struct kvss_point point_of(const struct vm *vm, bool active)
{
    return (struct kvss_point){
        .set_id = vm->set_id,
        .vm_uuid = vm->dom->uuid,
        .vm_name = vm->dom->name,
        .active = active,
        .n_disks = vm->n_disks,
        .disks = vm->disks,
        .checkpoint = active ? vm->checkpoint : NULL,
        .since = vm->since,
    };
}

int vm_prepare_point(struct vm *vm, bool active, struct err *err)
{
    const struct kvss_point point = point_of(vm, active);

    return vm->n_disks ? kvss_event_prepare_point(vm->ev, &point, err) : 0;
}

int vm_take_point(struct vm *vm, bool active, struct err *err)
{
    const struct kvss_point point = point_of(vm, active);

    return vm->n_disks ? kvss_event_take_point(vm->ev, &point, err) : 0;
}

int vm_not_quiesced(struct vm *vm, const struct err *why)
{
    free(vm->not_quiesced);
    vm->not_quiesced = strdup(why->text);
    return -why->code;
}

/* Whether an earlier one in the list is on the same device: mounted twice, frozen once. */
static bool seen_before(const struct vm_report *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (r->fs[k].device && r->fs[i].device && !strcmp(r->fs[k].device, r->fs[i].device))
            return true;
    return false;
}

/* An agent may pass over a file system, and say no more than how many it has frozen. (Windows freezes volumes, through VSS; their
 * number is another matter.) */
static int check_all_frozen(const struct vm *vm, struct err *err)
{
    const struct vm_report *r = vm->report;
    unsigned wanted = 0;

    for (size_t i = 0; i < r->n_fs; i++)
        wanted += hv_fs_freezable(r->fs[i].type, false) && !r->fs[i].read_only && !seen_before(r, i);
    if (r->windows && !vm->n_frozen)
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "the guest agent froze no volume");
    if (r->windows || vm->n_frozen >= wanted)
        return 0;
    return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "the guest agent froze only %u of its %u file systems", vm->n_frozen, wanted);
}

int vm_freeze(struct vm *vm, struct err *err)
{
    unsigned ms = vm->writer->config.agent_timeout_ms ? vm->writer->config.agent_timeout_ms : AGENT_FREEZE_MS;

    int r = hv_agent_freeze(vm->dom, NULL, ms, &vm->n_frozen, err);
    /* Nothing was done: neither is there anything to undo, nor may another program's freeze be undone. */
    if (r == -EBUSY || r == -EHOSTUNREACH)
        vm_effect_settled(vm, &vm->fx_freeze);
    if (r < 0) {
        vm_guest_explain(vm, err);
        return vm_not_quiesced(vm, err);
    }
    vm->frozen_us = clock_mono_us(); /* from the agent's reply on */
    r = vm_effect_done(vm, vm->fx_freeze, err);
    if (r < 0)
        return r;
    r = check_all_frozen(vm, err);
    return r < 0 ? vm_not_quiesced(vm, err) : 0;
}

/* What a Windows agent answers once it has thawed by itself, as an error of the thaw. The undo, which is still to come, makes sure. */
static int thawed_by_itself(struct vm *vm, struct err *err)
{
    struct err why = ERR_INIT;

    vm->thawed_us = clock_mono_us();
    (void)err_move(&why, err);
    err_vss(err, VSS_E_WRITERERROR_TIMEOUT, ETIMEDOUT, "the guest did not stay frozen: %s", why.text);
    return vm_not_quiesced(vm, err);
}

int vm_thaw(struct vm *vm, struct err *err)
{
    unsigned ms = vm->writer->config.agent_timeout_ms ? vm->writer->config.agent_timeout_ms : AGENT_FREEZE_MS;
    unsigned n = 0;

    uint64_t asked_us = clock_mono_us();
    int r = hv_agent_thaw(vm->dom, ms, &n, err);
    if (r == -EIO && vm->report->windows && hv_domain_refresh_state(vm->dom, NULL) >= 0 && vm->dom->state == HV_RUNNING)
        return thawed_by_itself(vm, err);
    if (r < 0)
        return r;
    vm->thawed_us = clock_mono_us();
    vm_effect_settled(vm, &vm->fx_freeze);
    /* Windows thaws by itself when its limit is over: then the point is not one of a frozen guest. */
    bool late = vm->report->windows && asked_us - vm->frozen_us > WINDOWS_HOLD_MS * UINT64_C(1000);
    if (!late && (!vm->n_frozen || n))
        return 0;
    err_vss(err, VSS_E_WRITERERROR_TIMEOUT, ETIMEDOUT, "the guest had thawed before the point in time was complete");
    return vm_not_quiesced(vm, err);
}

int vm_writer_try_freeze(struct vm_writer *w, const char *name_or_uuid, double *ret_ms, struct err *err)
{
    const struct vm_writer_config *c = &w->config;
    _cleanup_(vm_clear) struct vm vm = { .writer = w };
    const struct vm_known *known = NULL;
    struct err ignored = ERR_INIT; /* it stays in the journal, and the end of the session tries again and tells */

    if (!c->journal)
        return err_set(err, EINVAL, "the VM writer was set up for queries only, not to freeze a guest");
    int r = vm_known_get(w, name_or_uuid, &known, err);
    if (r >= 0) {
        vm.dom = known->dom;
        vm.report = &known->report;
        r = vm_effect(&vm, VERB_FREEZE, NULL, NULL, &vm.fx_freeze, err);
    }
    if (r >= 0)
        r = journal_deadline(c->journal, JOURNAL_HELD_VMS, c->hold_limit_ms ? c->hold_limit_ms : HOLD_LIMIT_MS, err);
    if (r >= 0)
        r = vm_freeze(&vm, err);
    if (r >= 0)
        r = vm_thaw(&vm, err);
    if (r < 0)
        (void)journal_undo(c->journal, vm.fx_freeze, &ignored);
    (void)journal_deadline(c->journal, JOURNAL_HELD_VMS, 0, NULL);
    if (r >= 0)
        *ret_ms = (double)(vm.thawed_us - vm.frozen_us) / 1000.0;
    return r;
}
