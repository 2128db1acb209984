/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved State without the wait (live-state): paused at the set's instant as for Saved State, the point of its disks taken then, and its
 * memory written by QEMU while it runs on. It is down from the pause until QEMU has protected its memory; disks and memory are of exactly
 * one instant, since no vCPU runs in between. Clauses M3, M7, B1, B2, B7, B8. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "cluster/cluster.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define ROOM_KEPT (64 * MIB)  /* which its writing leaves to others */
#define PRESENT_FOR_MS 20000u /* the process is taken to hang when it has said nothing for so long */
#define PRESENT_EACH_MS 1000u

bool vm_wants_live(const struct vm_policy *p)
{
    return p->method == VM_METHOD_LIVE || (p->method == VM_METHOD_AUTO && p->live_state);
}

/* In the folder of saved states: there is room for the memory, or else no Saved State would be possible either. */
static char *memory_path(const struct vm *vm)
{
    const char *dir = hv_save_dir(vm->writer->config.hv);

    return dir ? str_format("%s/.kvss-%.8s-%.8s.memory", dir, vm->set_id, vm->dom->uuid) : NULL;
}

char *vm_cannot_live(const struct vm_writer *w, struct hv_domain *d, const struct vm_report *r)
{
    _cleanup_free_ char *with = vm_unsaveable(d, r), *why = NULL, *resource = NULL;
    struct err err = ERR_INIT;

    if (cluster_resource(d->name, d->uuid, &resource, &err) < 0)
        return strdup(err.text);
    if (resource)
        return str_format("Pacemaker manages the VM (resource %s) and may take its pause for a failure", resource);
    if (with)
        return str_format("QEMU cannot save a VM with %s", with);
    if (!hv_save_dir(w->config.hv))
        return strdup("its memory cannot be written on this host");
    uint64_t bytes = hv_save_bytes(d);
    bytes += bytes ? ROOM_KEPT : 0;
    if (vm_writer_check_room(w, &bytes, 1, &err) < 0)
        return strdup(err.text);
    if (hv_live_lacks(d, &why, &err) < 0)
        return strdup(err.text);
    return TAKE_PTR(why);
}

/* Nothing is held yet. The pause is entered before the memory, so that its undo comes after: what is paused is let run when QEMU is
 * clear. */
int vm_prepare_live(struct vm *vm, struct err *err)
{
    struct hv_live_image image = { .keeper = vm->writer->config.keeper };
    uint64_t id;

    int r = vm_prepare_point(vm, true, err);
    if (r < 0)
        return r;
    if (!(vm->memory = memory_path(vm)))
        return err_nomem(err);
    image.path = vm->memory;
    r = vm_effect(vm, VERB_PART, "path", vm->memory, &id, err);
    if (r >= 0)
        r = vm_effect(vm, VERB_PAUSE, NULL, NULL, &vm->fx_pause, err);
    if (r >= 0)
        r = vm_effect(vm, VERB_LIVE, NULL, NULL, &vm->fx_live, err);
    if (r >= 0)
        r = hv_live_prepare(vm->dom, &image, &vm->live_memory, err);
    return r < 0 ? r : vm_effect_done(vm, id, err);
}

int vm_begin_live(struct vm *vm, struct err *err)
{
    struct journal *j = vm->writer->config.journal;

    int r = journal_step_begins(j, "live-arm", err);
    if (r >= 0)
        r = hv_live_arm(vm->live_memory, err);
    if (r >= 0)
        r = journal_step_done(j, "live-arm", err);
    if (r >= 0)
        r = hv_live_begin(vm->live_memory, err);
    if (r < 0)
        return r;
    vm->resumed_us = clock_mono_us();
    vm_effect_settled(vm, &vm->fx_pause);
    return vm_effect_done(vm, vm->fx_live, err);
}

/* While the memory is written, the guest waits for this process; if it hangs, the watchdog ends it, and the keeper takes the rest. */
struct presence {
    const struct vm *vm;
    const struct hv_live_stop *stop;
    uint64_t told_ms;
};

static int still_here(void *priv, struct err *err)
{
    struct presence *p = priv;
    uint64_t now = clock_mono_ms();
    int r = 0;

    if (now - p->told_ms >= PRESENT_EACH_MS) {
        r = journal_deadline(p->vm->writer->config.journal, JOURNAL_HELD_MEMORY, PRESENT_FOR_MS, err);
        p->told_ms = now;
    }
    return r < 0 ? r : p->stop->fn(p->stop->priv, err);
}

int vm_finish_live(struct vm *vm, const struct hv_live_stop *stop, struct err *err)
{
    struct presence p = { .vm = vm, .stop = stop };
    struct err ignored = ERR_INIT; /* the effect stays in the journal, and abort tries again */

    int r = hv_live_finish(vm->live_memory, &(struct hv_live_stop){ still_here, &p }, err);
    (void)journal_deadline(vm->writer->config.journal, JOURNAL_HELD_MEMORY, 0, NULL); /* others say soon that they are there */
    if (r < 0)
        (void)hv_live_give_up(vm->live_memory, &ignored);
    hv_live_free(TAKE_PTR(vm->live_memory));
    if (r < 0)
        return r;
    vm_effect_settled(vm, &vm->fx_live);
    return 0;
}

/* The set is broken: whoever stands still waits for nobody. */
void vm_release_paused(struct vm *vm)
{
    struct err ignored = ERR_INIT; /* the effects stay in the journal; abort tries again and tells */

    if (vm->fx_live)
        (void)journal_undo(vm->writer->config.journal, vm->fx_live, &ignored);
    (void)journal_undo(vm->writer->config.journal, vm->fx_pause, &ignored);
}
