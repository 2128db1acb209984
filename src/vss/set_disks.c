/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks of VMs in the snapshot set, each with its provider; and where the shadow copies are. */
#include "vss/dispatch.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

const struct set_disk *set_disk_find(const struct vss_session *v, const char *vm_uuid, const char *target)
{
    for (size_t i = 0; i < v->n_disks; i++)
        if (!strcmp(v->disks[i].target, target) && !strcmp(v->disks[i].vm_uuid, vm_uuid))
            return &v->disks[i];
    return NULL;
}

void kvss_disk_source_free(struct kvss_disk_source *s)
{
    free(s->nbd_uri);
    free(s->path);
    free(s->format);
    free(s->dirty_context);
    free(s->why_full);
    free(s->changed);
    memset(s, 0, sizeof(*s));
}

int vss_open_disk(struct vss_session *v, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err)
{
    const struct set_disk *d = set_disk_find(v, vm_uuid, target);
    struct kvss_disk_source s = { 0 };
    int r = session_check(v, CALL_GET_SNAPSHOT_PROPERTIES, err);

    if (r < 0)
        return r;
    if (!d || v->snapshots_gone)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "disk %s of VM %s is not in the snapshot set", target, vm_uuid);
    const struct kvss_provider *p = &d->entry->provider;
    r = p->open_disk(d->entry->priv, v->doc->set_id, vm_uuid, target, &s, err);
    if (r >= 0 && !s.nbd_uri && !(s.path && s.format))
        r = err_vss(err, VSS_E_UNEXPECTED_PROVIDER_ERROR, EPROTO, "provider '%s' does not report how to read disk %s", p->name, target);
    if (r < 0) {
        kvss_disk_source_free(&s);
        return r;
    }
    *ret = s;
    return 0;
}

/* The first that has lost something; but the one that knows for which VM goes before it. */
int vss_check_snapshots(const struct vss_session *v, char **ret_vm_uuid, struct err *err)
{
    int first = 0;

    if (ret_vm_uuid)
        *ret_vm_uuid = NULL;
    for (size_t i = 0; i < v->n_providers && v->doc->set_id; i++) {
        const struct provider_entry *e = v->providers[i];
        _cleanup_free_ char *uuid = NULL;
        struct err why = ERR_INIT;
        int r = e->provider.check_snapshots ? e->provider.check_snapshots(e->priv, v->doc->set_id, &uuid, &why) : 0;
        if (r >= 0 || (first < 0 && (!uuid || !ret_vm_uuid || *ret_vm_uuid)))
            continue;
        first = err_move(err, &why);
        if (ret_vm_uuid)
            *ret_vm_uuid = TAKE_PTR(uuid);
    }
    return first;
}

/* ---- Points ---------------------------------------------------------------------------------------------------------------*/

typedef int point_fn(void *p, const struct kvss_point *point, struct err *err);

static point_fn *point_handler(const struct provider_entry *e, bool take)
{
    return take ? e->provider.take_point : e->provider.prepare_point;
}

static int point_providers(const struct vss_session *v, const struct kvss_point *point, struct provider_entry **ret, struct err *err)
{
    for (size_t i = 0; i < point->n_disks; i++) {
        const struct set_disk *d = set_disk_find(v, point->vm_uuid, point->disks[i].target);
        if (!d)
            return err_vss(
                err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN,
                "disk %s of VM %s is not in the snapshot set: the VM did not have the disk when the backup began; run the backup again",
                point->disks[i].target, point->vm_name);
        ret[i] = d->entry;
    }
    return 0;
}

/* The part of the point that is the provider's. */
static int point_call(const struct provider_entry *e, const struct kvss_point *point, struct provider_entry *const *of, point_fn *fn,
                      struct err *err)
{
    _cleanup_free_ struct kvss_point_disk *disks = calloc(point->n_disks, sizeof(*disks));
    struct kvss_point part = *point;

    if (!disks)
        return err_nomem(err);
    part.n_disks = 0;
    for (size_t i = 0; i < point->n_disks; i++)
        if (of[i] == e)
            disks[part.n_disks++] = point->disks[i];
    part.disks = disks;
    return fn(e->priv, &part, err);
}

/* Guests may be held: no thread is started, and the handlers run in the caller's. */
static int each_provider(struct kvss_event *ev, const struct kvss_point *point, bool take, struct err *err)
{
    const struct vss_session *v = ev->task.session;
    _cleanup_free_ struct provider_entry **of = calloc(point->n_disks + 1, sizeof(struct provider_entry *));
    int r = of ? point_providers(v, point, of, err) : err_nomem(err);

    for (size_t i = 0; i < point->n_disks && r >= 0; i++) {
        point_fn *fn = point_handler(of[i], take);
        size_t first = 0;
        while (of[first] != of[i])
            first++;
        if (first == i && fn)
            r = point_call(of[i], point, of, fn, err);
    }
    return r < 0 ? r : 0;
}

int kvss_event_prepare_point(struct kvss_event *ev, const struct kvss_point *point, struct err *err)
{
    return each_provider(ev, point, false, err);
}

int kvss_event_take_point(struct kvss_event *ev, const struct kvss_point *point, struct err *err)
{
    return each_provider(ev, point, true, err);
}

/* ---- Where the copies are -------------------------------------------------------------------------------------------------*/

static int snapshot_find_device(struct vss_session *v, struct bc_snapshot *s, struct err *err)
{
    const struct provider_entry *e = service_find_provider(v->service, s->provider_id);
    _cleanup_free_ char *device = NULL;
    struct err why = ERR_INIT;

    if (!e || !e->provider.snapshot_device)
        return 0;
    int r = e->provider.snapshot_device(e->priv, v->doc->set_id, s->id, &device, &why);
    if (r >= 0 && device && (r = text_check_name(device, TEXT_PATH_MAX, "device", &why)) >= 0 && device[0] != '/')
        r = err_set(&why, EINVAL, "'%s' is not an absolute path", device);
    if (r < 0)
        return err_vss(err, why.hresult ? why.hresult : VSS_E_UNEXPECTED_PROVIDER_ERROR, -r,
                       "provider '%s' cannot report where the shadow copy of volume '%s' is: %s", e->provider.name, s->volume,
                       why.code ? why.text : "no reason given");
    return device ? text_keep(&v->doc->strings, device, &s->device, err) : 0;
}

int set_find_devices(struct vss_session *v, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < v->doc->n_snapshots && r >= 0; i++)
        r = snapshot_find_device(v, &v->doc->snapshots[i], err);
    SCOPED_LOCK(&v->lock);
    v->snapshots_there = r >= 0;
    return r < 0 ? r : 0;
}

void set_forget_devices(struct vss_session *v)
{
    SCOPED_LOCK(&v->lock);
    v->snapshots_there = false;
}

size_t kvss_event_snapshot_count(const struct kvss_event *ev)
{
    const struct vss_session *v = ev->task.session;

    SCOPED_LOCK(&ev->task.session->lock);
    return v->snapshots_there ? v->doc->n_snapshots : 0;
}

struct kvss_snapshot_properties kvss_event_snapshot(const struct kvss_event *ev, size_t i)
{
    const struct bc_document *doc = ev->task.session->doc;

    if (i >= doc->n_snapshots)
        return (struct kvss_snapshot_properties){ 0 };
    const struct bc_snapshot *s = &doc->snapshots[i];
    return (struct kvss_snapshot_properties){
        .snapshot_id = s->id,
        .set_id = doc->set_id,
        .volume = s->volume,
        .provider_id = s->provider_id,
        .attributes = s->attributes,
        .created_us = s->created_us,
        .device = s->device,
    };
}

const char *kvss_event_snapshot_device(const struct kvss_event *ev, const char *volume)
{
    for (size_t i = 0; i < kvss_event_snapshot_count(ev); i++) {
        struct kvss_snapshot_properties s = kvss_event_snapshot(ev, i);
        if (!strcmp(s.volume, volume) && s.device)
            return s.device;
    }
    return NULL;
}
