/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `qemu` provider. A VM that has a QEMU process gets a pull backup job (design.md, Points in time); its NBD exports are the
 * shadow copies. Images of a VM that is off, and disks that a VM cannot write, are served by qemu-nbd under QEMU's image lock. */
#include "providers/qemu_internal.h"
#include "base/io.h"
#include "base/strv.h"
#include <errno.h>
#include <string.h>

int qemu_provider_new(const struct qemu_provider_config *config, struct qemu_provider **ret, struct err *err)
{
    struct qemu_provider *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, ENOMEM, "out of memory");
    p->config = *config;
    pthread_mutex_init(&p->lock, NULL);
    *ret = p;
    return 0;
}

void qemu_provider_free(struct qemu_provider *p)
{
    if (!p)
        return;
    qemu_guard_free(p->guard);
    for (struct qemu_point *pt = p->points, *next; pt; pt = next) {
        next = pt->next;
        qemu_point_free(pt);
    }
    pthread_mutex_destroy(&p->lock);
    strv_free(p->volumes);
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

static int is_volume_supported(void *priv, const char *volume, bool *ret, struct err *err)
{
    const struct qemu_provider *p = priv;

    (void)err;
    /* Whatever QEMU reads, QEMU can shadow: no volume needs to be special. But other files on it are not shadowed. */
    *ret = strv_has(p->volumes, volume);
    return 0;
}

int qemu_provider_shadow(struct qemu_provider *p, const char *volume, struct err *err)
{
    if (strv_has(p->volumes, volume))
        return 0;
    return strv_add(&p->volumes, volume) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int begin_prepare(void *priv, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context,
                         struct err *err)
{
    (void)set_id;
    (void)snapshot_id;
    const struct qemu_provider *p = priv;

    if (context & VSS_VOLSNAP_ATTR_PERSISTENT)
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EOPNOTSUPP,
                       "provider qemu: shadow copies of %s cannot be persistent: they live as long as the backup job", volume);
    if (!p->config.journal)
        return err_set(err, EINVAL, "provider qemu: no journal was given, so nothing can be shadowed");
    return 0;
}

static int prepare_point(void *priv, const struct kvss_point *point, struct err *err)
{
    struct qemu_provider *p = priv;
    _cleanup_(qemu_point_free_p) struct qemu_point *pt = NULL;

    if (find_point(p, point->set_id, point->vm_uuid))
        return err_set(err, EEXIST, "VM %s has a point in this snapshot set already", point->vm_name);
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
        return err_set(err, EINVAL, "VM %s: the point was not prepared", point->vm_name);
    return qemu_point_take(p, pt, err);
}

/* The points were taken in the writer's PrepareForSnapshot and PostSnapshot; there is nothing left to commit. */
static int commit(void *priv, const char *set_id, struct err *err)
{
    (void)priv;
    (void)set_id;
    (void)err;
    return 0;
}

static const struct qemu_disk *find_disk(const struct qemu_point *pt, const char *target)
{
    for (size_t i = 0; i < pt->n_disks; i++)
        if (!strcmp(pt->disks[i].target, target))
            return &pt->disks[i];
    return NULL;
}

static int open_disk(void *priv, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret,
                     struct err *err)
{
    struct qemu_point *pt = find_point(priv, set_id, vm_uuid);
    const struct qemu_disk *d = pt ? find_disk(pt, target) : NULL;

    if (!d)
        return err_set(err, ENOENT, "disk %s of VM %s is not in the snapshot set", target, pt ? pt->vm_name : vm_uuid);
    if (!d->export && !pt->begun)
        return err_set(err, EINVAL, "disk %s of VM %s: the point in time was not taken", target, pt->vm_name);

    struct kvss_disk_source s = { .apart = d->export };
    s.nbd_uri = d->export ? strdup(hv_export_uri(d->export)) : hv_nbd_uri(pt->socket, target);
    if (d->since)
        s.dirty_context = d->export ? strdup(hv_export_dirty_context(d->export)) : hv_dirty_context(target);
    if (d->why_full)
        s.why_full = strdup(d->why_full);
    if (!s.nbd_uri || (d->since && !s.dirty_context) || (d->why_full && !s.why_full)) {
        kvss_disk_source_free(&s);
        return err_set(err, ENOMEM, "out of memory");
    }
    *ret = s;
    return 0;
}

void kvss_disk_source_free(struct kvss_disk_source *s)
{
    free(s->nbd_uri);
    free(s->dirty_context);
    free(s->why_full);
    memset(s, 0, sizeof(*s));
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

static int abort_snapshots(void *priv, const char *set_id, struct err *err)
{
    return release_set(priv, set_id, true, err);
}

/* The checkpoint's effect stays open: the requester settles it once the restore point is committed. */
static int delete_snapshots(void *priv, const char *set_id, struct err *err)
{
    return release_set(priv, set_id, false, err);
}

const struct kvss_provider qemu_provider_ops = {
    .struct_size = sizeof(struct kvss_provider),
    .api = KVSS_PROVIDER_API,
    .name = "qemu",
    .id = QEMU_PROVIDER_ID,
    .version = "1",
    .type = KVSS_PROV_SOFTWARE,
    .is_volume_supported = is_volume_supported,
    .begin_prepare = begin_prepare,
    .prepare_point = prepare_point,
    .take_point = take_point,
    .commit = commit,
    .open_disk = open_disk,
    .abort_snapshots = abort_snapshots,
    .delete_snapshots = delete_snapshots,
};
