/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How each effect of the VM writer is reversed: used by abort and by failure alike. Undo looks at what is there and acts only
 * where something has to be put back, so it is harmless where the effect never came about or was undone before. */
#include "base/clock.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define THAW_TRIES 2

int vm_effect(const struct vm *vm, const char *verb, const char *name, const char *value, uint64_t *ret_id, struct err *err)
{
    const struct journal_arg args[] = { { "group", vm->dom->uuid }, { "vm", vm->dom->name }, { name, value }, { NULL, NULL } };
    return journal_begin(vm->writer->config.journal, verb, args, ret_id, err);
}

int vm_effect_done(const struct vm *vm, uint64_t id, struct err *err)
{
    int r = journal_done(vm->writer->config.journal, id);

    return r < 0 ? err_errno(err, -r, "an earlier step did not complete as expected") : 0;
}

void vm_effect_settled(const struct vm *vm, uint64_t *id)
{
    journal_settled(vm->writer->config.journal, *id);
    *id = 0;
}

/* 1 and the domain; 0: it is gone, there is nothing to undo on it. */
static int effects_find(struct hv *hv, const struct journal_effect *e, struct hv_domain **ret, struct err *err)
{
    int r = hv_domain_find(hv, journal_value(e, "group"), ret, err);
    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    return r < 0 ? r : 1;
}

int vm_start_again(struct hv_domain *d, bool paused, struct err *err)
{
    _cleanup_strv_ char **notes = NULL;

    int r = hv_start_saved(d, paused, &notes, err);
    hv_tell(d, notes);
    return r;
}

/* One that was found saved was left so by an hv_agent_reconnect() that died: its guest is frozen all the same. */
static int thaw_again(struct hv_domain *d, struct err *err)
{
    int r = d->state == HV_SAVED ? vm_start_again(d, false, err) : 0;

    for (int i = 1; r >= 0; i++) {
        r = hv_agent_thaw(d, AGENT_FREEZE_MS, NULL, err);
        /* Where the agent is gone, trying again at once does not bring it back. */
        if (r >= 0 || r == -ENOTCONN || i == THAW_TRIES)
            return r;
        r = r == -ENOLINK ? hv_agent_reconnect(d, err) : 0;
    }
    return r;
}

static int effects_undo_freeze(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = effects_find(ctx, e, &d, err);
    if (r <= 0)
        return r;
    if (d->state == HV_OFF)
        return 0; /* nothing runs that could be frozen */
    /* Somebody has paused it: its agent may find the call to freeze when it goes on. So it is tried again until then. */
    if (d->state != HV_RUNNING && d->state != HV_SAVED)
        return err_set(err, EAGAIN, "VM %s may still be frozen, and is %s; it is thawed when it runs again", d->name,
                       hv_state_name(d->state));
    if (hv_domain_hangs(d)) /* nor would its agent answer: others are not kept waiting for that */
        return err_set(err, ETIMEDOUT, "VM %s may still be frozen: its QEMU does not answer", d->name);
    r = thaw_again(d, err);
    if (r >= 0)
        return 0;
    return err_context(err, "VM %s may still be frozen; when its agent responds, run: virsh domfsthaw %s", d->name, d->name);
}

static int undo_pause(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = effects_find(ctx, e, &d, err);
    if (r <= 0 || (r = hv_domain_wait_still(d, err)) < 0)
        return r;
    return d->state == HV_PAUSED ? hv_resume(d, err) : 0;
}

static int undo_save(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = effects_find(ctx, e, &d, err);
    if (r <= 0 || (r = hv_domain_wait_still(d, err)) < 0 || d->state != HV_SAVED)
        return r < 0 ? r : 0;
    r = vm_start_again(d, !strcmp(journal_value(e, "state"), "paused"), err);
    /* The dead session's own start may have come first: then the VM is paused, which the undo of the pause looks after. */
    if (r < 0 && hv_domain_wait_still(d, NULL) == 0 && d->state != HV_SAVED && d->state != HV_OFF) {
        err_clear(err);
        return 0;
    }
    return r < 0 ? err_context(err, "VM %s still has its saved state; to start it: virsh start %s", d->name, d->name) : 0;
}

static int undo_live(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = effects_find(ctx, e, &d, err);
    return r <= 0 || d->state == HV_OFF || d->state == HV_SAVED ? r : hv_live_undo(d, err);
}

/* In the session's own folder, or with the set's number in its name. */
static int undo_part(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_remove_made(e, "path", true, err);
}

const struct journal_verb vm_writer_verbs[] = {
    { VERB_FREEZE, effects_undo_freeze, .undone = "its guest is not frozen", .holds = true },
    { VERB_PAUSE, undo_pause, .undone = "it is not paused", .holds = true },
    { VERB_SAVE, undo_save, .undone = "it is not in a saved state", .holds = true },
    { VERB_LEASE, vm_undo_lease, .in_order = true, .undone = "its cluster is in charge of it again", .holds = true },
    { VERB_SAVE_TO, vm_undo_save_to, .undone = "it is not in a saved state", .holds = true, .places = { "path" } },
    { VERB_STOP, vm_undo_stop, vm_finish_stop, true, "its cluster is in charge of it again" }, /* after its images: never by itself */
    { VERB_CONFIG, vm_undo_config, vm_finish_config, true, "its old definition is in place", .places = { "path", "kept" } },
    { VERB_START, vm_undo_start, NULL, true, "its cluster has stopped it again" },
    { VERB_GUEST, vm_guest_undo, .undone = "the writers in its guest are released" },
    { VERB_LIVE, undo_live, .undone = "its memory is no longer being written", .holds = true },
    { VERB_PART, undo_part, .places = { "path" } },
    { VERB_TURN_OFF, vm_undo_turn_off, NULL, true, "it is in its old state" },
    { VERB_KEEP_SAVED, vm_undo_keep_saved, vm_finish_keep_saved, true, "its old saved state is in place", .places = { "path", "kept" } },
    { VERB_DELETE, vm_undo_delete, NULL, true, "it is defined as before" },
    { VERB_REGISTER, vm_undo_register, .undone = "the newly defined VM is removed", .places = { "nvram", "tpm" } },
    { VERB_LINK, vm_undo_link, .undone = "the link to it is removed", .places = { "path" } },
    { NULL, NULL },
};
