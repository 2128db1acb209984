/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing restore points, those named or those that no rule keeps. Each stands alone, so any may go. */
#include "base/clock.h"
#include "base/guid.h"
#include "requester/repository/repository.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

struct forget {
    struct requester *rq;
    const struct requester_forget *job;
    struct store_point_info *points;
    json_t **metas; /* per point; NULL: unknown to us, and then not subject to rules */
    struct store_policy_item *items;
    char ***groups; /* per point: UUIDs of its VMs */
    struct store_protection *protections;
    size_t n_protections;
    size_t n;
};

static void forget_clear(struct forget *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->metas)
            json_decref(f->metas[i]);
        if (f->groups)
            strv_free(f->groups[i]);
    }
    free(f->protections);
    free(f->metas);
    free(f->groups);
    free(f->items);
    store_list_free(f->points, f->n);
}

static int forget_load(struct forget *f, struct err *err)
{
    int r = store_protections(f->rq->store, &f->protections, &f->n_protections, err);
    if (r >= 0)
        r = store_list(f->rq->store, &f->points, &f->n, NULL, err);
    if (r < 0)
        return r;
    f->metas = calloc(f->n + 1, sizeof(*f->metas));
    f->items = calloc(f->n + 1, sizeof(*f->items));
    f->groups = calloc(f->n + 1, sizeof(*f->groups));
    if (!f->metas || !f->items || !f->groups)
        return err_nomem(err);
    for (size_t i = 0; i < f->n; i++) {
        size_t k;
        json_t *vm;
        f->items[i].time_us = f->points[i].time_us;
        f->items[i].made_us = f->points[i].made_us;
        if (point_meta(f->points[i].meta, &f->metas[i], NULL) < 0)
            continue;
        json_array_foreach (point_vms(f->metas[i]), k, vm) {
            const char *uuid = vm_record_listed(vm).uuid;
            if (uuid && strv_add(&f->groups[i], uuid) < 0)
                return err_nomem(err);
        }
        f->items[i].groups = (const char *const *)f->groups[i];
    }
    return 0;
}

/* ---- Which ----------------------------------------------------------------------------------------------------------------*/

static bool forget_is_named(char *const *vms, const json_t *vm)
{
    const struct vm_record_listed l = vm_record_listed(vm);

    for (; *vms; vms++)
        if ((l.name && !strcmp(l.name, *vms)) || (l.uuid && guid_equal(l.uuid, *vms)))
            return true;
    return false;
}

/* What holds another VM's data too is not removed for the sake of the VMs named. */
static bool is_only_of(const json_t *meta, char *const *vms)
{
    size_t i;
    json_t *vm;

    if (!vms || !*vms)
        return true;
    json_array_foreach (point_vms(meta), i, vm)
        if (!forget_is_named(vms, vm))
            return false;
    return true;
}

static bool has_label(const struct forget *f, size_t i)
{
    const char *label = json_get_text(f->metas[i], "label");

    return !f->job->label || (label && fnmatch(f->job->label, label, 0) == 0);
}

static bool is_protected(const struct forget *f, const char *id)
{
    return store_protection_find(f->protections, f->n_protections, id) != NULL;
}

static int by_rules(struct forget *f, struct err *err)
{
    const struct requester_forget *j = f->job;
    const struct store_policy policy = { j->last, j->hourly, j->daily, j->weekly, j->monthly, j->yearly, clock_wall_us() };

    if (!(j->last || j->hourly || j->daily || j->weekly || j->monthly || j->yearly))
        return err_set(err, EINVAL, "no restore point and no rule given: that would remove all restore points");
    int r = point_check_vms(f->metas, f->n, j->vms, err);
    for (size_t i = 0; i < f->n; i++)
        if (!has_label(f, i))
            f->items[i].groups = NULL; /* the rules do not count it */
    if (r >= 0)
        r = store_policy_apply(&policy, f->items, f->n, err);
    for (size_t i = 0; r >= 0 && i < f->n; i++) {
        if (!f->items[i].keep && is_protected(f, f->points[i].id)) {
            f->items[i].keep = true;
            f->items[i].why = "protected";
        }
        if (!has_label(f, i))
            f->items[i].why = "does not have the label";
        if (f->items[i].keep || (f->metas[i] && f->groups[i] && is_only_of(f->metas[i], j->vms)))
            continue;
        f->items[i].keep = true;
        f->items[i].why = f->metas[i] && f->groups[i] ? "needed by another VM" : "contains no VMs";
    }
    return r;
}

/* A damaged point cannot be opened, but be named by its whole id. */
static int forget_resolve(struct forget *f, const char *name, char ret[static STORE_ID_LEN + 1], struct err *err)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;
    struct err why = ERR_INIT;

    int r = store_point_open(f->rq->store, name, &p, &why);
    if (r < 0 && !(r == -EUCLEAN && strlen(name) == STORE_ID_LEN))
        return err_move(err, &why);
    snprintf(ret, STORE_ID_LEN + 1, "%s", p ? store_point_id(p) : name);
    return 0;
}

static int forget_by_name(struct forget *f, char ***ids, struct err *err)
{
    for (size_t i = 0; i < f->n; i++)
        f->items[i].keep = true;
    for (char *const *name = f->job->points; *name; name++) {
        char id[STORE_ID_LEN + 1];
        int r = forget_resolve(f, *name, id, err);
        if (r < 0)
            return r;
        if (is_protected(f, id)) {
            f->rq->end = REQUESTER_REFUSED;
            return err_set(err, EPERM,
                           "restore point %.12s is protected: nothing was removed (kvss show %.12s shows by whom; kvss protect --off %.12s "
                           "removes the protection)",
                           id, id, id);
        }
        if (!strv_has(*ids, id) && strv_add(ids, id) < 0)
            return err_nomem(err);
        for (size_t i = 0; i < f->n; i++)
            if (!strcmp(f->points[i].id, id))
                f->items[i].keep = false;
    }
    return 0;
}

/* ---- Doing and telling ----------------------------------------------------------------------------------------------------*/

static json_t *entry(const struct forget *f, size_t i)
{
    json_t *names = json_array(), *vm;
    char time[32];
    size_t k;

    json_array_foreach (point_vms(f->metas[i]), k, vm)
        json_array_append_new(names, json_text(vm_record_listed(vm).name));
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", f->points[i].id, "time", clock_format(f->points[i].time_us, time), "instant",
                     json_text(json_get_text(f->metas[i], "instant")), "vms", names, "why", json_text(f->items[i].why));
}

static int forget_tell(const struct forget *f, char *const *ids, json_t **ret, struct err *err)
{
    json_t *kept = json_array(), *removed = json_array();

    for (size_t i = 0; i < f->n; i++)
        json_array_append_new(f->items[i].keep ? kept : removed, entry(f, i));
    for (char *const *id = ids; id && *id; id++) { /* those that cannot be read are in no list */
        bool listed = false;
        for (size_t i = 0; i < f->n; i++)
            listed |= !strcmp(f->points[i].id, *id);
        if (!listed)
            json_array_append_new(removed, json_pack("{s:s, s:n, s:n, s:[], s:n}", "id", *id, "time", "instant", "vms", "why"));
    }
    *ret = json_pack("{s:b, s:o, s:o, s:n}", "dry_run", f->job->dry_run, "kept", kept, "removed", removed, "prune");
    return *ret ? 0 : err_nomem(err);
}

/* What is gone is never missed, by this host or by others: they are told first. */
static int remove_points(struct forget *f, char *const *ids, struct err *err)
{
    bool is_signed = known_sign(f->rq, STORE_ENTRY_FORGET, ids) >= 0;
    known_note_forgotten(f->rq, ids);
    int r = store_forget(f->rq->store, (const char *const *)ids, strv_len(ids), err);
    if (r >= 0) {
        known_note_removed(f->rq, ids);
        if (!is_signed) /* where the storage was full there is some room now */
            (void)known_sign(f->rq, STORE_ENTRY_FORGET, NULL);
        return 0;
    }
    known_note_kept(f->rq, ids);
    if (r == -EPERM) { /* protected meanwhile, and none was removed */
        known_note_accepted(f->rq, ids);
        (void)known_sign(f->rq, STORE_ENTRY_ACCEPT, NULL);
    }
    return r;
}

static int forget_forget(struct forget *f, json_t **ret, struct err *err)
{
    bool named = f->job->points && *f->job->points;
    _cleanup_strv_ char **ids = NULL;

    int r = forget_load(f, err);
    if (r >= 0)
        r = named ? forget_by_name(f, &ids, err) : by_rules(f, err);
    for (size_t i = 0; r >= 0 && !named && i < f->n; i++)
        if (!f->items[i].keep && strv_add(&ids, f->points[i].id) < 0)
            r = err_nomem(err);
    if (r >= 0)
        r = job_cancelled(f->rq, err);
    if (r >= 0 && !f->job->dry_run && ids)
        r = remove_points(f, ids, err);
    return r < 0 ? r : forget_tell(f, ids, ret, err);
}

int requester_forget(struct requester *rq, const struct requester_forget *job, json_t **ret, struct err *err)
{
    _cleanup_(forget_clear) struct forget f = { .rq = rq, .job = job };
    _cleanup_json_ json_t *report = NULL;
    json_t *pruned = NULL;

    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, job->dry_run ? KNOWN_REHEARSE : KNOWN_CHANGE, err);
    if (r >= 0 && !job->dry_run)
        r = known_finish(rq, err);
    if (r >= 0)
        r = forget_forget(&f, &report, err);
    if (r >= 0 && job->prune && !job->dry_run) {
        const struct requester_prune prune = { .now = job->now };
        r = requester_prune(rq, &prune, &pruned, err);
        if (r >= 0)
            json_object_set_new(report, "prune", pruned);
    }
    if (r >= 0)
        *ret = TAKE_PTR(report);
    return job_end(rq, r, err);
}
