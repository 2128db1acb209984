/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `qemu` provider. A VM that has a QEMU process gets a pull backup job (design.md, Points in time); its NBD exports are the
 * shadow copies. Images of a VM that is off, and disks that a VM cannot write, are served by qemu-nbd under QEMU's image lock. */
#include "providers/qemu_internal.h"
#include "base/io.h"
#include <errno.h>
#include <string.h>

static int qemu_new(const struct provider_context *context, void **ret, struct err *err)
{
    struct qemu_provider *p = calloc(1, sizeof(*p));
    if (!p)
        return err_nomem(err);
    p->config = *context;
    pthread_mutex_init(&p->lock, NULL);
    *ret = p;
    return 0;
}

static void qemu_free(void *priv)
{
    struct qemu_provider *p = priv;

    qemu_guard_free(p->guard);
    for (struct qemu_point *pt = p->points, *next; pt; pt = next) {
        next = pt->next;
        qemu_point_free(pt);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static struct qemu_point *find_point(struct qemu_provider *p, const char *set_id, const char *vm_uuid)
{
    SCOPED_LOCK(&p->lock);
    for (struct qemu_point *pt = p->points; pt; pt = pt->next)
        if (!strcmp(pt->set_id, set_id) && !strcmp(pt->vm_uuid, vm_uuid))
            return pt;
    return NULL;
}

/* Whatever QEMU reads, QEMU can shadow: no volume needs to be special. But files that no VM has are not shadowed. */
static int qemu_is_volume_supported(void *priv, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    (void)priv;
    (void)err;
    *ret = volume->vm_uuid != NULL;
    return 0;
}

/* Nothing is read while scratch files have no room: qemu_guard.c. */
static int qemu_free_room(void *priv, const char *volume, struct kvss_room *ret, struct err *err)
{
    const struct qemu_provider *p = priv;
    const char *place = p->config.snapshot_dir ? p->config.snapshot_dir : volume;

    if (!place || place[0] != '/')
        return err_set(err, EOPNOTSUPP, "scratch files are created next to the images, so each volume has its own free space");
    return provider_room_of(place, ret, err);
}

static int qemu_begin_prepare(void *priv, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                              struct err *err)
{
    (void)set_id;
    (void)snapshot_id;
    const struct qemu_provider *p = priv;

    if (context & VSS_VOLSNAP_ATTR_PERSISTENT)
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EOPNOTSUPP,
                       "provider qemu: shadow copies of %s cannot be persistent: they exist only as long as the backup job", volume);
    if (!p->config.journal)
        return err_set(err, EINVAL, "provider qemu: no journal given: cannot create a shadow copy");
    return 0;
}

static int qemu_prepare_point(void *priv, const struct kvss_point *point, struct err *err)
{
    struct qemu_provider *p = priv;
    _cleanup_(qemu_point_free_p) struct qemu_point *pt = NULL;

    if (find_point(p, point->set_id, point->vm_uuid))
        return err_set(err, EEXIST, "VM %s is already in this snapshot set", point->vm_name);
    int r = qemu_point_new(point, p->config.hv, &pt, err);
    if (r < 0)
        return r;

    /* In the list before anything is done, so that abort finds it half-made too. */
    struct qemu_point *made = TAKE_PTR(pt);
    pthread_mutex_lock(&p->lock);
    made->next = p->points;
    p->points = made;
    pthread_mutex_unlock(&p->lock);
    return qemu_point_prepare(p, made, err);
}

static int take_point(void *priv, const struct kvss_point *point, struct err *err)
{
    struct qemu_provider *p = priv;
    struct qemu_point *pt = find_point(p, point->set_id, point->vm_uuid);

    if (!pt)
        return err_set(err, EINVAL, "VM %s: the point in time was not prepared", point->vm_name);
    return qemu_point_take(p, pt, err);
}

/* The points were taken in the writer's PrepareForSnapshot and PostSnapshot; there is nothing left to commit. */
static int qemu_commit(void *priv, const char *set_id, struct err *err)
{
    (void)priv;
    (void)set_id;
    (void)err;
    return 0;
}

static const struct qemu_disk *qemu_find_disk(const struct qemu_point *pt, const char *target)
{
    for (size_t i = 0; i < pt->n_disks; i++)
        if (!strcmp(pt->disks[i].target, target))
            return &pt->disks[i];
    return NULL;
}

static int open_disk(void *priv, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err)
{
    struct qemu_point *pt = find_point(priv, set_id, vm_uuid);
    const struct qemu_disk *d = pt ? qemu_find_disk(pt, target) : NULL;

    if (!d)
        return err_set(err, ENOENT, "disk %s of VM %s is not in the snapshot set", target, pt ? pt->vm_name : vm_uuid);
    if (!d->export && !pt->begun)
        return err_set(err, EINVAL, "disk %s of VM %s: no point in time was taken", target, pt->vm_name);

    struct kvss_disk_source s = { .apart = d->export };
    s.nbd_uri = d->export ? strdup(hv_export_uri(d->export)) : hv_nbd_uri(pt->socket, target);
    if (d->since)
        s.dirty_context = d->export ? strdup(hv_export_dirty_context(d->export)) : hv_dirty_context(target);
    if (d->why_full)
        s.why_full = strdup(d->why_full);
    if (!s.nbd_uri || (d->since && !s.dirty_context) || (d->why_full && !s.why_full)) {
        kvss_disk_source_free(&s);
        return err_nomem(err);
    }
    *ret = s;
    return 0;
}

/* Takes the points of a set out of the list. */
static struct qemu_point *take_points(struct qemu_provider *p, const char *set_id)
{
    struct qemu_point *taken = NULL;

    SCOPED_LOCK(&p->lock);
    for (struct qemu_point **at = &p->points; *at;) {
        struct qemu_point *pt = *at;
        if (strcmp(pt->set_id, set_id)) {
            at = &pt->next;
            continue;
        }
        *at = pt->next;
        pt->next = taken;
        taken = pt;
    }
    return taken;
}

static int release_set(struct qemu_provider *p, const char *set_id, bool drop_checkpoints, struct err *err)
{
    int first = 0;

    for (struct qemu_point *pt = take_points(p, set_id), *next; pt; pt = next) {
        struct err why = ERR_INIT;
        next = pt->next;
        int r = qemu_point_release(p, pt, &why);
        if (drop_checkpoints && pt->fx_checkpoint) {
            struct err also = ERR_INIT;
            int r2 = journal_undo(p->config.journal, pt->fx_checkpoint, &also);
            if (r2 < 0 && r >= 0)
                r = err_move(&why, &also);
        }
        if (r < 0 && !first)
            first = err_move(err, &why);
        qemu_point_free(pt);
    }
    return first;
}

static int qemu_abort_snapshots(void *priv, const char *set_id, struct err *err)
{
    return release_set(priv, set_id, true, err);
}

/* The checkpoint's effect stays open: the requester settles it once the restore point is committed. */
static int qemu_delete_snapshots(void *priv, const char *set_id, struct err *err)
{
    return release_set(priv, set_id, false, err);
}

static const struct kvss_provider qemu_ops = {
    .struct_size = sizeof(struct kvss_provider),
    .api = KVSS_PROVIDER_API,
    .name = "qemu",
    .id = "9b6d1c1e-5a43-4b0e-9a57-3c1f6b0e7a21",
    .version = "1",
    .type = KVSS_PROV_SOFTWARE,
    .free_room = qemu_free_room,
    .is_volume_supported = qemu_is_volume_supported,
    .begin_prepare = qemu_begin_prepare,
    .prepare_point = qemu_prepare_point,
    .take_point = take_point,
    .commit = qemu_commit,
    .open_disk = open_disk,
    .check_snapshots = qemu_check_snapshots,
    .abort_snapshots = qemu_abort_snapshots,
    .delete_snapshots = qemu_delete_snapshots,
};

const struct builtin_provider qemu_provider = {
    .ops = &qemu_ops,
    .make = qemu_new,
    .free = qemu_free,
    .verbs = qemu_provider_verbs,
    .priority = 10,
};
