/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM of a cluster is replaced through the cluster (M19, M13-M15): stopped by a lease that does not end by itself, for a lapsed one would
 * start a VM on half of its images; confirmed to be stopped everywhere; the memory in which its agent would have it run on is set aside;
 * the file from which the cluster starts it is its new definition. The lease is taken away before the new VM is final: if the cluster does
 * not start it, the lease is there again before anything is undone. */
#include "base/io.h"
#include "base/io_at.h"
#include "cluster/cluster.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLUSTER_STOP_MS 900000u /* the agent waits for the guest, and then turns it off */
#define CLUSTER_START_MS 600000u
#define CLUSTER_FOLLOW_MS 60000u

static bool stopped_or_failed(const struct cluster_vm *c)
{
    return cluster_is_stopped(c) || c->failed || c->blocked;
}

static bool started_or_failed(const struct cluster_vm *c)
{
    return cluster_is_in_charge(c) || c->failed || c->blocked;
}

static bool runs_here(const struct cluster_vm *c)
{
    return !c->pending && c->n_active == 1 && strcmp(c->node, c->here) == 0 && strcmp(c->role, "Started") == 0;
}

static int stop_through_cluster(struct cluster_vm *c, const char *lease, struct err *err)
{
    const struct cluster_lease l = { c->resource, lease, CLUSTER_STOP, 0 };

    int rc = c->managed ? cluster_lease_set(&l, err)
                        : err_set(err, EPERM, "the cluster does not manage the VM now (maintenance, or is-managed=false)");
    if (rc >= 0)
        rc = cluster_wait(c, stopped_or_failed, CLUSTER_STOP_MS, "did not stop the VM", err);
    if (rc >= 0 && !cluster_is_stopped(c))
        rc = err_set(err, EIO, "the cluster could not stop the VM (resource %s has failed)", c->resource);
    if (rc >= 0 && c->uncertain)
        rc = err_set(
            err, EIO,
            "it is not certain that the VM is stopped: a node of the cluster is neither up nor fenced, or the cluster has no quorum");
    return rc < 0 ? rc : 0;
}

/* The agent starts the VM from there if it is there. */
static char *state_file(const struct cluster_vm *c, const char *name)
{
    return c->snapshot ? str_format("%s/%s.state", c->snapshot, c->domain ? c->domain : name) : NULL;
}

static int remove_state(const char *path, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int r = io_open_parent(path, &dir, &name, err);
    if (r >= 0 && unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        r = err_errno(err, errno, "cannot remove the saved state %s", path);
    return r < 0 ? r : 0;
}

static int set_memory_aside(struct vm_restore *r, const struct cluster_vm *c, struct err *err)
{
    _cleanup_free_ char *path = state_file(c, r->name);

    if (!c->snapshot)
        return 0;
    int rc = path ? vm_keep_second_name(r, r->name, path, err) : err_nomem(err);
    if (rc <= 0)
        return rc;
    return remove_state(path, err);
}

int vm_cluster_offline(struct vm_restore *r, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    struct guid id = guid_new();
    uint64_t fx;

    int rc = cluster_ask(r->name, r->uuid, &c, err);
    if (rc <= 0)
        return rc;
    if (c.n_active && (c.n_active > 1 || strcmp(c.node, c.here) != 0))
        return err_set(err, EBUSY, "the cluster runs it on node %s: run kvss restore there", c.node);
    if (!(r->lease = str_format("kvss-stop-%s", id.text)))
        return err_nomem(err);
    r->replaces = true;
    r->cluster_off = !c.n_active; /* as its administrator wants it */
    const struct journal_arg values[] = {
        { "resource", c.resource },
        { "lease", r->lease },
        { "in_place", json_is_true(json_object_get(r->options, "in_place")) ? "yes" : NULL },
        { NULL, NULL },
    };
    rc = vm_restore_effect(r, VERB_STOP, r->name, values, &fx, err);
    if (rc >= 0)
        rc = vm_last_moment(r, r->name, err);
    if (rc >= 0)
        rc = stop_through_cluster(&c, r->lease, err);
    if (rc >= 0)
        rc = vm_restore_effect_done(r, fx, err);
    if (rc < 0)
        return rc;
    vm_restore_step(r, "turn off", "VM %s was stopped by its cluster (resource %s)", r->name, c.resource);
    return set_memory_aside(r, &c, err);
}

/* ---- The definition -----------------------------------------------------------------------------------------------------------------*/

int vm_cluster_register(struct vm_restore *r, const char *xml, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    _cleanup_free_ char *path = NULL, *dir = NULL, *kept = NULL;
    struct guid id = guid_new();
    struct stat st;
    uint64_t fx;

    int rc = cluster_ask(r->name, r->uuid, &c, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, ESTALE, "its cluster no longer manages it");
    if (!(path = realpath(c.config, NULL)) || stat(path, &st) < 0)
        return err_errno(err, errno, "cannot replace its definition %s", c.config);
    dir = io_dirname(path);
    kept = dir ? str_format("%s/" IO_TEMPORARY_PREFIX "old-%.13s.xml", dir, id.text) : NULL;
    if (!kept)
        return err_nomem(err);
    const struct journal_arg values[] = { { "path", path }, { "kept", kept }, { NULL, NULL } };
    rc = vm_restore_effect(r, VERB_CONFIG, r->name, values, &fx, err);
    if (rc >= 0)
        rc = io_link_or_copy(path, kept, 0600, err);
    if (rc >= 0)
        rc = io_replace_file(path, xml, strlen(xml), st.st_mode & 0777, err);
    if (rc >= 0)
        rc = vm_restore_effect_done(r, fx, err);
    if (rc < 0)
        return err_context(err, "cannot replace its definition %s", path);
    vm_restore_step(r, "register", "VM %s in %s, from which its cluster starts it", r->name, c.config);
    vm_restore_warn(r, "its definition %s was replaced on this node: unless the other nodes of the cluster share the file, copy it to them",
                    c.config);
    return 0;
}

/* ---- Online again ---------------------------------------------------------------------------------------------------------------------*/

/* The cluster leaves it alone while it is started, and then finds it running here. */
static int start_and_hand_over(struct vm_restore *r, struct cluster_vm *c, const char *memory, struct err *err)
{
    const struct cluster_lease l = { c->resource, r->lease, CLUSTER_HANDS_OFF, 0 };

    int rc = cluster_lease_set(&l, err);
    if (rc >= 0)
        rc = cluster_wait(c, cluster_is_idle_hand, CLUSTER_FOLLOW_MS, "did not leave the VM alone", err);
    if (rc >= 0)
        rc = vm_start_from_memory(r, memory, "running", err);
    if (rc >= 0)
        rc = cluster_refresh(c->resource, err);
    return rc < 0 ? rc : cluster_wait(c, runs_here, CLUSTER_FOLLOW_MS, "does not see that the VM runs", err);
}

int vm_cluster_online(struct vm_restore *r, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    const char *state = vm_restore_option(r, "state"), *memory = vm_restore_option(r, "memory");
    uint64_t fx;

    int rc = cluster_ask(r->name, r->uuid, &c, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, ESTALE, "its cluster no longer manages it");
    const struct journal_arg values[] = { { "resource", c.resource }, { "lease", r->lease }, { NULL, NULL } };
    rc = vm_restore_effect(r, VERB_START, r->name, values, &fx, err);
    if (rc >= 0 && memory && !r->cluster_off)
        rc = start_and_hand_over(r, &c, memory, err);
    if (rc >= 0)
        rc = cluster_lease_drop(r->lease, err);
    if (rc >= 0 && !r->cluster_off)
        rc = cluster_wait(&c, started_or_failed, CLUSTER_START_MS, "does not start the VM", err);
    if (rc >= 0 && !r->cluster_off && !cluster_is_in_charge(&c))
        rc = err_set(err, EIO, "the cluster could not start the VM (resource %s has failed)", c.resource);
    if (rc >= 0)
        rc = vm_restore_effect_done(r, fx, err);
    if (rc < 0)
        return rc;
    if (r->cluster_off)
        vm_restore_warn(r, "it is off, as it was before: its cluster does not start resource %s", c.resource);
    else
        vm_restore_step(r, "start", "by its cluster, on node %s", c.node);
    if (state && strcmp(state, "running") != 0 && !r->cluster_off)
        vm_restore_warn(r, "it was %s at the backup and runs now, because its cluster starts it", state);
    return 0;
}

/* ---- Undo -----------------------------------------------------------------------------------------------------------------------------*/

/* On a device that may be half old and half new it must not be started. */
int vm_undo_stop(void *ctx, const struct journal_effect *e, struct err *err)
{
    const char *lease = journal_value(e, "lease");

    if (!journal_value(e, "in_place") || !journal_is_done(e)) /* it was not stopped, so nothing was overwritten */
        return vm_finish_stop(ctx, e, err);
    err_set(err, EUCLEAN,
            "VM %s stays stopped, because a block device of it may be partly overwritten: restore it again, then run: cibadmin --delete "
            "--xml-text '<meta_attributes id=\"%s\"/>'",
            journal_value(e, "vm"), lease);
    return 1;
}

int vm_finish_stop(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return cluster_lease_drop(journal_value(e, "lease"), err);
}

/* The agent has saved the new VM: the old one must not run on from that. What was there before is set aside, under another name. */
static int drop_new_memory(const struct cluster_vm *c, const char *name, struct err *err)
{
    _cleanup_free_ char *path = state_file(c, name);

    return path ? remove_state(path, err) : 0;
}

/* What the cluster has started, or what was about to be handed over to it, is stopped before anything else is undone. */
int vm_undo_start(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err none = ERR_INIT;

    int r = cluster_ask_resource(journal_value(e, "resource"), &c, err);
    if (r >= 0)
        r = stop_through_cluster(&c, journal_value(e, "lease"), err);
    if (r >= 0)
        r = drop_new_memory(&c, journal_value(e, "vm"), err);
    if (r < 0)
        return r;
    r = hv_domain_find(ctx, journal_value(e, "group"), &d, &none);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? err_move(err, &none) : hv_destroy(d, err);
}

int vm_undo_config(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };
    _cleanup_free_ char *kept = io_basename(journal_value(e, "kept"));

    (void)ctx;
    int r = kept ? journal_place_open(e, "path", &p, err) : err_nomem(err);
    if (r <= 0)
        return r;
    int at_kept = journal_find(&p, kept, journal_value(e, "kept_id"), err);
    if (at_kept < 0 || at_kept == JOURNAL_ABSENT)
        return at_kept < 0 ? at_kept : 0;
    int at_path = journal_find(&p, p.name, journal_value(e, "path_id"), err);
    if (at_path < 0)
        return at_path;
    if (at_kept == JOURNAL_OTHERS || at_path == JOURNAL_OTHERS)
        return journal_left_alone(p.path, err);
    if (renameat(p.dir, kept, p.dir, p.name) < 0)
        return err_errno(err, errno, "cannot restore the definition %s", p.path);
    /* Two names of one file are left by a rename as they are. */
    return unlinkat(p.dir, kept, 0) < 0 && errno != ENOENT ? err_errno(err, errno, "cannot remove %s", journal_value(e, "kept")) : 0;
}

int vm_finish_config(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_remove_made(e, "kept", true, err);
}
