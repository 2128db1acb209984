/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The snapshot set: volumes, providers, and DoSnapshotSet. */
#include "base/clock.h"
#include "base/num.h"
#include "vss/dispatch.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

#define ABORT_LIMIT_MS 3600000u /* it has none of its own; no program may ask for longer */

int vss_start_snapshot_set(struct vss_session *v, const char **ret_set_id, struct err *err)
{
    struct session_step step;
    struct guid id = guid_new();
    const char *kept = NULL;
    int r = session_enter(v, CALL_START_SNAPSHOT_SET, &step, err);

    if (r < 0 || (r = text_keep(&v->doc->strings, id.text, &kept, err)) < 0)
        return r;
    v->doc->set_id = kept;
    if (ret_set_id)
        *ret_set_id = kept;
    return session_leave(v, &step, 0);
}

/* ---- Volumes and their providers ------------------------------------------------------------------------------------------*/

int vss_is_volume_supported(struct vss_session *v, const char *provider_id, const char *volume, bool *ret, struct err *err)
{
    struct provider_entry *e = NULL;
    int r = session_check(v, CALL_IS_VOLUME_SUPPORTED, err);

    if (r < 0 || (r = text_check_name(volume, TEXT_PATH_MAX, "volume", err)) < 0 ||
        (r = provider_choose(v->service, provider_id, &(struct kvss_volume){ .name = volume }, &e, err)) < 0)
        return r;
    *ret = e != NULL;
    return 0;
}

static int keep_provider(struct vss_session *v, struct provider_entry *e, struct err *err)
{
    for (size_t i = 0; i < v->n_providers; i++)
        if (v->providers[i] == e)
            return 0;
    if (!ARRAY_GROW(v->providers, v->n_providers))
        return err_nomem(err);
    v->providers[v->n_providers++] = e;
    return 0;
}

static int snapshot_begin_prepare(struct vss_session *v, struct provider_entry *e, const struct bc_snapshot *s, struct err *err)
{
    struct err cause = ERR_INIT;
    int r = e->provider.begin_prepare(e->priv, v->doc->set_id, s->id, s->volume, v->doc->context, &cause);

    if (r == 0)
        return 0;
    return err_vss(err, cause.hresult ? cause.hresult : VSS_E_PROVIDER_VETO, -r, "provider '%s' refuses volume '%s': %s", e->provider.name,
                   s->volume, cause.code ? cause.text : "no reason given");
}

static int snapshot_add_volume(struct vss_session *v, struct provider_entry *e, const char *volume, struct err *err)
{
    struct guid id = guid_new();
    struct bc_snapshot s = {
        .id = id.text,
        .volume = volume,
        .provider_id = e->provider.id,
        .attributes = v->doc->context,
    };
    /* Room and checks first: once the provider has agreed nothing may fail. */
    int r = keep_provider(v, e, err);
    if (r < 0 || (r = components_add_snapshot(v->doc, &s, err)) < 0)
        return r;
    r = snapshot_begin_prepare(v, e, &s, err);
    if (r < 0)
        v->doc->n_snapshots--;
    return r;
}

/* NULL: it is not there. */
static const struct bc_snapshot *snapshot_of(const struct vss_session *v, const struct provider_entry *e, const char *volume)
{
    for (size_t i = 0; i < v->doc->n_snapshots; i++)
        if (!strcmp(v->doc->snapshots[i].volume, volume) && guid_equal(v->doc->snapshots[i].provider_id, e->provider.id))
            return &v->doc->snapshots[i];
    return NULL;
}

static int snapshot_choose(struct vss_session *v, const char *provider_id, const struct kvss_volume *what, struct provider_entry **ret,
                           struct err *err)
{
    struct provider_entry *e = NULL;
    int r = session_check(v, CALL_ADD_TO_SNAPSHOT_SET, err);

    if (r < 0 || (r = text_check_name(what->name, TEXT_PATH_MAX, "volume", err)) < 0 ||
        (r = provider_choose(v->service, provider_id, what, &e, err)) < 0)
        return r;
    if (!e)
        return provider_unsupported(v->service, provider_id, what, err);
    *ret = e;
    return 0;
}

int vss_add_to_snapshot_set(struct vss_session *v, const char *volume, const char *provider_id, const char **ret_snapshot_id,
                            struct err *err)
{
    struct provider_entry *e = NULL;
    int r = snapshot_choose(v, provider_id, &(struct kvss_volume){ .name = volume }, &e, err);

    if (r < 0)
        return r;
    if (snapshot_of(v, e, volume))
        return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "volume '%s' is already in the snapshot set", volume);
    r = snapshot_add_volume(v, e, volume, err);
    if (r == 0 && ret_snapshot_id)
        *ret_snapshot_id = v->doc->snapshots[v->doc->n_snapshots - 1].id;
    return r;
}

/* The disk must not be in the set by another provider as well, which would take another point of it. */
static int snapshot_keep_disk(struct vss_session *v, const struct kvss_volume *disk, struct provider_entry *e, struct err *err)
{
    const struct set_disk *known = set_disk_find(v, disk->vm_uuid, disk->target);
    struct set_disk d = { .entry = e };
    int r;

    if (known && known->entry == e)
        return 0;
    if (known)
        return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "disk %s is already in the snapshot set", disk->target);
    if ((r = text_keep(&v->doc->strings, disk->vm_uuid, &d.vm_uuid, err)) < 0 ||
        (r = text_keep(&v->doc->strings, disk->target, &d.target, err)) < 0 ||
        (r = text_keep(&v->doc->strings, disk->name, &d.volume, err)) < 0)
        return r;
    if (!ARRAY_GROW(v->disks, v->n_disks))
        return err_nomem(err);
    v->disks[v->n_disks++] = d;
    return 0;
}

/* What a VM has beside a disk needs no provider of its own. */
static bool snapshot_has_vm(const struct vss_session *v, const struct kvss_volume *part)
{
    for (size_t i = 0; i < v->n_disks; i++)
        if (!part->target && !strcmp(v->disks[i].vm_uuid, part->vm_uuid) && !strcmp(v->disks[i].volume, part->name))
            return true;
    return false;
}

int vss_add_disk_to_snapshot_set(struct vss_session *v, const struct kvss_volume *disk, const char *provider_id,
                                 const char **ret_snapshot_id, struct err *err)
{
    struct provider_entry *e = NULL;

    if (!provider_id && snapshot_has_vm(v, disk))
        return 0;
    int r = snapshot_choose(v, provider_id, disk, &e, err);
    if (r >= 0 && !snapshot_of(v, e, disk->name))
        r = snapshot_add_volume(v, e, disk->name, err);
    if (r >= 0 && disk->target)
        r = snapshot_keep_disk(v, disk, e, err);
    if (r == 0 && ret_snapshot_id)
        *ret_snapshot_id = snapshot_of(v, e, disk->name)->id;
    return r;
}

/* ---- DoSnapshotSet --------------------------------------------------------------------------------------------------------*/

/* The time for which writers may be held: the shortest of their limits. */
static unsigned hold_limit(const struct vss_session *v)
{
    unsigned limit = v->service->config.freeze_limit_ms;

    for (size_t i = 0; i < v->n_members; i++)
        if (v->members[i]->takes_part)
            limit = (unsigned)num_min(limit, member_freeze_limit_ms(v, v->members[i]));
    return limit;
}

/* A step while writers are held, in which they run out of time even if it went well itself. If it did not, that is the cause, and
 * what happened to the others is in their states. */
static int check_time(struct vss_session *v, enum event_kind kind, const struct deadline *held, int r, struct err *err)
{
    if (deadline_left_ms(v, held) != 0)
        return r;
    int late = dispatch_expire(v, kind, held, r == 0 ? err : NULL);
    return r == 0 ? late : r;
}

/* The commit has a limit of its own, as file systems hold their writes for it. */
static int snapshot_commit(struct vss_session *v, const struct deadline *held, struct err *err)
{
    uint64_t left = deadline_left_ms(v, held);
    struct deadline limit = deadline_start(v, (unsigned)num_min(left, v->service->config.hold_limit_ms));
    bool late = false;
    int r = providers_call(v, PROVIDER_COMMIT, &limit, &late, err);

    if (r == 0 && deadline_left_ms(v, &limit) == 0 && deadline_left_ms(v, held) != 0)
        return err_vss(err, VSS_E_HOLD_WRITES_TIMEOUT, ETIMEDOUT, "the providers took longer than %u ms to commit", limit.limit_ms);
    return check_time(v, EVENT_FREEZE, held, r, err);
}

/* For whoever lets go of them if this process can not. */
static int tell_holding(const struct vss_session *v, unsigned ms, struct err *err)
{
    const struct vss_service_config *c = &v->service->config;

    return c->holding ? c->holding(c->priv, ms, err) : 0;
}

/* Freeze to Thaw. */
static int hold_and_commit(struct vss_session *v, struct err *err)
{
    unsigned limit = hold_limit(v);
    int r = tell_holding(v, limit, err);
    struct deadline held = deadline_start(v, limit);

    if (r == 0)
        r = check_time(v, EVENT_FREEZE, &held, dispatch_event(v, EVENT_FREEZE, &held, err), err);
    if (r == 0)
        r = snapshot_commit(v, &held, err);
    if (r == 0)
        r = check_time(v, EVENT_FREEZE, &held, providers_call(v, PROVIDER_POST_COMMIT, &held, NULL, err), err);
    if (r == 0)
        r = check_time(v, EVENT_THAW, &held, dispatch_event(v, EVENT_THAW, &held, err), err);
    return r;
}

static void describe_snapshots(struct vss_session *v)
{
    bool recover = !(v->doc->context & VSS_VOLSNAP_ATTR_NO_AUTORECOVERY) && selection_has_flag(v, VSS_CF_BACKUP_RECOVERY);

    for (size_t i = 0; i < v->doc->n_snapshots; i++) {
        v->doc->snapshots[i].attributes = v->doc->context | (recover ? VSS_VOLSNAP_ATTR_AUTORECOVER : 0);
        v->doc->snapshots[i].created_us = clock_wall_us();
    }
}

/* Up to PostSnapshot. A failure in here lets go of everything at once: Abort is raised by the service itself. */
static int make_snapshots(struct vss_session *v, struct err *err)
{
    int r = providers_call(v, PROVIDER_END_PREPARE, NULL, NULL, err);

    if (r == 0)
        r = providers_call(v, PROVIDER_PRE_COMMIT, NULL, NULL, err);
    if (r == 0)
        r = hold_and_commit(v, err);
    if (r == 0) {
        describe_snapshots(v);
        r = providers_call(v, PROVIDER_PRE_FINAL_COMMIT, NULL, NULL, err);
    }
    if (r == 0)
        r = set_find_devices(v, err);
    return r;
}

static int snapshot_sequence(struct vss_session *v, struct err *err)
{
    struct err local = ERR_INIT;
    int r = volumes_check(v, err);

    if (r < 0 || (r = dispatch_event(v, EVENT_PREPARE_SNAPSHOT, NULL, err)) < 0)
        return r;
    r = make_snapshots(v, &local);
    if (r == 0) {
        (void)tell_holding(v, 0, NULL);
        /* A veto in PostSnapshot raises no Abort, and the providers still end what they began. */
        int veto = dispatch_event(v, EVENT_POST_SNAPSHOT, NULL, err);
        r = providers_call(v, PROVIDER_POST_FINAL_COMMIT, NULL, NULL, &local);
        if (r == 0)
            return veto;
    }
    (void)tell_holding(v, ABORT_LIMIT_MS, NULL);
    session_raise_abort(v, &local);
    (void)tell_holding(v, 0, NULL);
    (void)err_move(err, &local);
    return r;
}

bool session_waits_its_turn(const struct vss_session *v, const struct member *m)
{
    const char *other = v->service->config.side_by_side;

    return m->takes_part && !(other && guid_equal(m->entry->writer.id, other));
}

int session_enter_set(struct vss_session *v, bool brief, struct err *err)
{
    const struct vss_service_config *c = &v->service->config;
    bool needed = false;

    for (size_t i = 0; i < v->n_members && !needed; i++)
        needed = session_waits_its_turn(v, v->members[i]);
    if (v->in_set || !needed || !c->enter_set)
        return 0;
    int r = c->enter_set(c->priv, brief, err);
    v->in_set = r >= 0;
    return r < 0 ? r : 0;
}

void session_leave_set(struct vss_session *v)
{
    if (v->in_set)
        v->service->config.leave_set(v->service->config.priv);
    v->in_set = false;
}

/* After a failure the turn lasts until Abort, which would else let go what another session holds by then. */
int vss_do_snapshot_set(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_DO_SNAPSHOT_SET, &step, err);

    if (r < 0)
        return r;
    if (v->doc->n_snapshots == 0)
        return err_vss(err, VSS_E_BAD_STATE, EPROTO, "DoSnapshotSet is out of order: no volume was added to the set");
    r = session_enter_set(v, false, err);
    if (r < 0)
        return r;
    r = snapshot_sequence(v, err);
    if (r >= 0)
        session_leave_set(v);
    return session_leave(v, &step, r);
}

/* ---- Afterwards -----------------------------------------------------------------------------------------------------------*/

size_t vss_snapshot_count(const struct vss_session *v)
{
    return v->doc->n_snapshots;
}

int vss_get_snapshot_properties(const struct vss_session *v, size_t i, struct kvss_snapshot_properties *ret, struct err *err)
{
    int r = session_check(v, CALL_GET_SNAPSHOT_PROPERTIES, err);

    if (r < 0)
        return r;
    if (i >= v->doc->n_snapshots || v->snapshots_gone)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "there is no shadow copy number %zu", i);
    const struct bc_snapshot *s = &v->doc->snapshots[i];
    *ret = (struct kvss_snapshot_properties){
        .snapshot_id = s->id,
        .set_id = v->doc->set_id,
        .volume = s->volume,
        .provider_id = s->provider_id,
        .attributes = s->attributes,
        .created_us = s->created_us,
        .device = s->device,
    };
    return 0;
}

int vss_delete_snapshots(struct vss_session *v, struct err *err)
{
    int r = session_check(v, CALL_DELETE_SNAPSHOTS, err);

    if (r < 0 || v->snapshots_gone)
        return r;
    set_forget_devices(v);
    r = providers_call(v, PROVIDER_DELETE, NULL, NULL, err);
    v->snapshots_gone = r == 0;
    return r;
}
