/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved State of a VM that a cluster manages (M19): the cluster is asked to leave it alone for a while (a lease, cluster.h), the VM is
 * saved to a file of ours and started from it, since such a VM is transient and cannot have a managed save, and the lease is taken away
 * when it runs again. Its memory is of the same instant as its disks, as with other VMs. Once the lease has ended nothing is started from
 * the file: the cluster may have started the VM by then, and its disks may be newer. */
#include "base/io.h"
#include "cluster/cluster.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

#define LEASE_S 120u     /* renewed as long as we live; for so long a cluster waits for a host that died */
#define LEASE_LEFT_S 30u /* clocks of nodes may differ by so much */
#define SETTLE_MS 15000u /* until it has started it, say */
#define FOLLOW_MS 60000u /* until the cluster has followed */

static const char *cluster_no_hands(const struct cluster_vm *c)
{
    if (c->copies)
        return "the resource is in a clone or bundle";
    if (c->n_active > 1)
        return "the cluster sees it running on more than one node";
    if (c->orphaned || c->failed || c->blocked)
        return "the resource has failed: find out why, then run crm_resource --cleanup";
    if (c->disagree)
        return "a node of the cluster is neither up nor fenced";
    if (strcmp(c->role, "Started") != 0 || c->pending)
        return "the cluster is starting, stopping or moving the VM";
    return NULL;
}

static bool cluster_settled(const struct cluster_vm *c)
{
    return !c->pending && (!strcmp(c->role, "Started") || !strcmp(c->role, "Stopped"));
}

/* 1: through the cluster; 0: no cluster has it. */
int vm_cluster_way(const struct hv_domain *d, char **ret_resource, char **ret_why, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    struct err late = ERR_INIT; /* the cluster says below what it is at */

    int r = cluster_ask(d->name, d->uuid, &c, err);
    if (r <= 0)
        return r;
    if (!(*ret_resource = strdup(c.resource)))
        return err_nomem(err);
    if (!cluster_settled(&c) && (r = cluster_wait(&c, cluster_settled, SETTLE_MS, "has not finished with the VM", &late)) < 0 &&
        r != -ETIMEDOUT)
        return err_move(err, &late);
    const struct cluster_lease lease = { c.resource, "kvss-lease", CLUSTER_HANDS_OFF, LEASE_S };
    const char *no = cluster_no_hands(&c);
    struct err why = ERR_INIT;
    if (no)
        *ret_why = strdup(no);
    else if (!c.node || strcmp(c.node, c.here) != 0)
        *ret_why = str_format("the cluster runs it on node %s", c.node ? c.node : "none");
    else if (cluster_lease_foresee(&lease, &why) < 0)
        *ret_why = strdup(why.text);
    return (no || why.code) && !*ret_why ? err_nomem(err) : 1;
}

static int took_over(struct err *err)
{
    return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, ESTALE,
                   "the cluster could not be reached for too long and has taken charge of the VM again");
}

/* Neither has the cluster acted, nor will it before a start is over, by our clock. */
static int check_lease(struct vm *vm, struct err *err)
{
    return cluster_keep_holds(vm->keep) ? 0 : took_over(err);
}

/* The cluster's own word: clocks step, hosts are suspended, and an administrator may have removed the lease. */
static int check_nowhere_else(struct vm *vm, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };

    int r = cluster_ask_resource(vm->report->cluster, &c, err);
    if (r < 0)
        return r;
    return cluster_is_idle_hand(&c) && (!c.n_active || (c.n_active == 1 && !strcmp(c.node, c.here))) ? check_lease(vm, err)
                                                                                                     : took_over(err);
}

static int cluster_effect(struct vm *vm, const char *verb, const char *path, uint64_t *ret, struct err *err)
{
    const struct journal_arg args[] = {
        { "group", vm->dom->uuid },
        { "vm", vm->dom->name },
        { "resource", vm->report->cluster },
        { "lease", vm->lease },
        { path ? "path" : "state", path ? path : hv_state_name(vm->before) },
        { path ? "state" : NULL, hv_state_name(vm->before) },
        { NULL, NULL },
    };

    return journal_begin(vm->writer->config.journal, verb, args, ret, err);
}

/* Nothing is held yet. */
int vm_cluster_begin(struct vm *vm, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    const char *dir = hv_save_dir(vm->writer->config.hv), *no = NULL;
    struct guid id = guid_new();

    vm->lease = str_format("kvss-lease-%s", id.text);
    vm->memory = dir ? str_format("%s/.kvss-%.8s-%.8s.memory", dir, vm->set_id, vm->dom->uuid) : NULL;
    if (!vm->lease || !vm->memory)
        return err_nomem(err);
    int r = cluster_ask_resource(vm->report->cluster, &c, err);
    if (r >= 0 && ((no = cluster_no_hands(&c)) || !c.node || strcmp(c.node, c.here) != 0))
        r = err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN,
                    "its cluster has changed something since it was examined (%s): run the backup again",
                    no ? no : "it is on another node");
    vm->was_watched = c.managed && c.watched;
    if (r >= 0)
        r = cluster_effect(vm, VERB_LEASE, NULL, &vm->fx_lease, err);
    const struct cluster_lease lease = { vm->report->cluster, vm->lease, CLUSTER_HANDS_OFF, LEASE_S };
    if (r >= 0)
        r = cluster_keep_start(&lease, true, &vm->keep, err);
    if (r >= 0)
        r = cluster_wait(&c, cluster_is_idle_hand, FOLLOW_MS, "did not leave the VM alone", err);
    return r < 0 ? r : vm_effect_done(vm, vm->fx_lease, err);
}

int vm_cluster_announce_save(struct vm *vm, struct err *err)
{
    return cluster_effect(vm, VERB_SAVE_TO, vm->memory, &vm->fx_save, err);
}

int vm_cluster_save(struct vm *vm, struct err *err)
{
    int r = check_lease(vm, err);

    if (r >= 0) /* libvirt forgets them with a transient VM; their bitmaps stay in the images */
        r = hv_keep_metadata(vm->dom, &vm->kept, err);
    if (r >= 0)
        r = hv_save_to(vm->dom, vm->memory, vm->before == HV_RUNNING, err);
    return r < 0 ? r : vm_effect_done(vm, vm->fx_save, err);
}

/* From now on the file is a part like others. */
static int keep_file(struct vm *vm, struct err *err)
{
    uint64_t id;

    int r = vm_effect(vm, VERB_PART, "path", vm->memory, &id, err);
    if (r >= 0)
        r = vm_effect_done(vm, id, err);
    if (r >= 0)
        vm_effect_settled(vm, &vm->fx_save);
    return r;
}

int vm_cluster_start(struct vm *vm, struct err *err)
{
    int r = check_nowhere_else(vm, err);

    if (r >= 0)
        r = hv_start_from(vm->writer->config.hv, vm->memory, NULL, true, err);
    if (r >= 0)
        r = hv_domain_refresh_state(vm->dom, err);
    if (r >= 0)
        r = keep_file(vm, err);
    for (char **c = vm->kept.checkpoints; r >= 0 && c && *c; c++)
        r = hv_checkpoint_redefine(vm->dom, *c, true, err);
    return r;
}

/* It runs again. That the cluster takes its time is no failure of the backup. */
int vm_cluster_end(struct vm *vm, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    struct err late = ERR_INIT;

    cluster_keep_end(TAKE_PTR(vm->keep));
    int r = cluster_lease_drop(vm->lease, err);
    if (r < 0)
        return r;
    vm_effect_settled(vm, &vm->fx_lease);
    r = cluster_ask_resource(vm->report->cluster, &c, &late);
    if (r >= 0 && vm->was_watched)
        r = cluster_wait(&c, cluster_is_in_charge, FOLLOW_MS, "did not monitor the VM again", &late);
    return r < 0 && strv_addf(&vm->warnings, "after it was saved and started again: %s", late.text) < 0 ? err_nomem(err) : 0;
}

/* ---- Undo -------------------------------------------------------------------------------------------------------------------------*/

/* 1: the VM exists here in whatever state libvirt has it; 0: it does not, and nobody is at it. */
static int is_here(struct hv *hv, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err unknown = ERR_INIT;

    int r = hv_domain_find(hv, journal_value(e, "group"), &d, &unknown);
    if (r == -ENOENT)
        return 0;
    if (r >= 0 && (r = hv_domain_wait_still(d, &unknown)) >= 0)
        return d->state != HV_OFF;
    /* What was being saved is no longer known to libvirt when that is done. */
    hv_domain_free(TAKE_PTR(d));
    if (hv_domain_find(hv, journal_value(e, "group"), &d, NULL) == -ENOENT)
        return 0;
    return err_move(err, &unknown);
}

/* 1: nobody but us may start it while *ret is kept: the lease was in force all the time. 0: the cluster may have started it, or will. */
static int still_ours(const struct journal_effect *e, struct cluster_keep **ret, struct err *err)
{
    const struct cluster_lease l = { journal_value(e, "resource"), journal_value(e, "lease"), CLUSTER_HANDS_OFF, LEASE_S };
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    struct err none = ERR_INIT;
    unsigned left = 0;

    int r = cluster_lease_left(l.id, &left, err);
    if (r < 0 || left < LEASE_LEFT_S)
        return r < 0 ? r : 0;
    r = cluster_keep_start(&l, false, ret, &none);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_move(err, &none);
    if ((r = cluster_ask_resource(l.resource, &c, err)) < 0 ||
        (r = cluster_wait(&c, cluster_is_idle_hand, FOLLOW_MS, "did not leave the VM alone", err)) < 0)
        return r;
    return !c.n_active || (c.n_active == 1 && strcmp(c.node, c.here) == 0);
}

static int undo_start(struct hv *hv, const struct journal_effect *e, const char *path, struct err *err)
{
    const char *state = journal_value(e, "state");
    struct cluster_keep *keep = NULL;

    int r = still_ours(e, &keep, err);
    if (r > 0)
        r = hv_start_from(hv, path, NULL, state && !strcmp(state, "paused"), err);
    cluster_keep_end(keep);
    return r < 0 ? err_context(err, "VM %s still has its saved state %s", journal_value(e, "vm"), path) : 0;
}

int vm_undo_save_to(void *ctx, const struct journal_effect *e, struct err *err)
{
    const char *path = journal_value(e, "path");
    struct err broken = ERR_INIT;
    bool runs;

    int r = is_here(ctx, e, err);
    int saved = r == 0 && path ? hv_save_image_runs(path, &runs, &broken) : -ENOENT;
    if (saved >= 0)
        r = undo_start(ctx, e, path, err);
    else if (saved != -ENOENT && saved != -ENODATA && saved != -EUCLEAN) /* it may be whole: none, too short, or never finished is not */
        return err_move(err, &broken);
    return r < 0 ? r : journal_remove_made(e, "path", true, err);
}

int vm_undo_lease(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return cluster_lease_drop(journal_value(e, "lease"), err);
}
