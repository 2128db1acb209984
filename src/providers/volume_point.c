/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The point in time of one VM whose volumes are copied. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/strv.h"
#include "providers/volume_internal.h"
#include <errno.h>
#include <string.h>

/* ---- What it is ---------------------------------------------------------------------------------------------------------------*/

static int fill_disk(struct volume_disk *to, const struct kvss_point_disk *from, struct err *err)
{
    if (!from->path)
        return err_set(err, EOPNOTSUPP, "it is on the network");
    to->written = !from->readonly;
    to->target = strdup(from->target);
    to->path = strdup(from->path);
    to->format = strdup(from->format);
    return to->target && to->path && to->format ? 0 : err_nomem(err);
}

/* A copy of the image alone must be the disk: what it refers to has to be found from there as well, and stand still. *ret_old: qcow2 of
 * version 2. */
static int examine_image(const struct volume_disk *d, bool *ret_old, struct err *err)
{
    struct hv_image_info info = { 0 };
    _cleanup_free_ char *real = NULL;

    int r = io_real_path(d->path, &real, err);
    if (r >= 0 && strcmp(d->format, "raw"))
        r = hv_image_info(NULL, d->path, d->format, true, &info, err);
    *ret_old = info.compat && !strcmp(info.compat, "0.10");
    if (r >= 0 && info.data_file)
        r = err_set(err, EOPNOTSUPP, "%s has an external data file (%s), which would not be copied: use --provider qemu", d->path,
                    info.data_file);
    else if (r >= 0 && info.backing && info.backing[0] != '/' && (strchr(info.backing, '/') || strcmp(real, d->path)))
        r = err_set(err, EOPNOTSUPP,
                    "%s names its backing image by the relative path %s, which a copy could not resolve: use --provider qemu", d->path,
                    info.backing);
    hv_image_info_clear(&info);
    return r < 0 ? r : 0;
}

/* Of a raw image the offsets in the file are those of the disk. */
static bool can_keep(const struct volume_provider *p, const struct volume_disk *d)
{
    return p->kind->clones && d->written && !strcmp(d->format, "raw");
}

/* The bitmaps that QEMU keeps in the image are in its copy too. */
static int ask_since(const struct volume_provider *p, struct volume_disk *d, const struct kvss_point *from, bool old, struct err *err)
{
    const char *why = old ? OLD_QCOW2 : NULL;

    if (!from->since)
        return 0;
    if (can_keep(p, d))
        return (d->kept_since = strdup(from->since)) ? 0 : err_nomem(err);
    if (strcmp(d->format, "qcow2"))
        d->why_full = str_format("images of format %s cannot store dirty bitmaps", d->format);
    else if (!d->written && from->active)
        why = "the VM cannot write to it, so it takes no part in checkpoints";
    else if (!why)
        d->since = strdup(from->since);
    if (why)
        d->why_full = strdup(why);
    return d->since || d->why_full ? 0 : err_nomem(err);
}

static int add_disk(const struct volume_provider *p, struct volume_point *pt, const struct kvss_point *from, size_t i, struct err *err)
{
    struct volume_disk *d = &pt->disks[i];
    bool old = false;

    int r = fill_disk(d, &from->disks[i], err);
    if (r >= 0)
        r = examine_image(d, &old, err);
    if (r >= 0)
        r = ask_since(p, d, from, old, err);
    d->keeps = r >= 0 && pt->checkpoint && pt->active && can_keep(p, d);
    if (r < 0)
        return err_context(err, "VM %s, disk %s", from->vm_name, from->disks[i].target);
    bool tracked = pt->checkpoint && pt->active && d->written && !strcmp(d->format, "qcow2") && !old;
    return tracked && strv_add(&pt->tracked, d->target) < 0 ? err_nomem(err) : 0;
}

static bool volumes_are_copied(const struct volume_provider *p, const char *set_id)
{
    for (const struct volume_copy *c = p->copies; c; c = c->next)
        if (c->made && !strcmp(c->set_id, set_id))
            return true;
    return false;
}

int volume_point_new(const struct volume_provider *p, const struct kvss_point *from, struct volume_point **ret, struct err *err)
{
    _cleanup_(volume_point_free_p) struct volume_point *pt = calloc(1, sizeof(*pt));
    int r = 0;

    if (!pt)
        return err_nomem(err);
    pt->active = from->active;
    pt->late = volumes_are_copied(p, from->set_id);
    pt->set_id = strdup(from->set_id);
    pt->vm_uuid = strdup(from->vm_uuid);
    pt->vm_name = strdup(from->vm_name);
    pt->checkpoint = from->checkpoint ? strdup(from->checkpoint) : NULL;
    pt->disks = calloc(from->n_disks ? from->n_disks : 1, sizeof(*pt->disks));
    if (!pt->set_id || !pt->vm_uuid || !pt->vm_name || !pt->disks || (from->checkpoint && !pt->checkpoint))
        return err_nomem(err);
    for (size_t i = 0; i < from->n_disks && r >= 0; i++) {
        pt->n_disks = i + 1;
        r = add_disk(p, pt, from, i, err);
    }
    if (r >= 0)
        r = hv_domain_glance(p->config.hv, from->vm_uuid, &pt->dom, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(pt);
    return 0;
}

void volume_point_free(struct volume_point *pt)
{
    if (!pt)
        return;
    for (size_t i = 0; i < pt->n_disks; i++) {
        struct volume_disk *d = &pt->disks[i];
        (void)hv_export_stop(d->lock, NULL);
        (void)hv_export_stop(d->export, NULL);
        free(d->since);
        free(d->kept_since);
        free(d->changed);
        free(d->why_full);
        free(d->target);
        free(d->path);
        free(d->format);
        free(d->overlay);
        free(d->copy);
    }
    free(pt->disks);
    hv_overlay_request_free(pt->request);
    if (pt->dom)
        hv_domain_free(pt->dom);
    free(pt->set_id);
    free(pt->vm_uuid);
    free(pt->vm_name);
    free(pt->checkpoint);
    strv_free(pt->tracked);
    free(pt);
}

/* Of several that hold it, the innermost. */
int volume_copy_of(struct volume_provider *p, const struct volume_point *pt, const struct volume_disk *d, struct volume_copy **ret,
                   char **ret_path, struct err *err)
{
    _cleanup_free_ char *real = NULL;
    struct volume_copy *best = NULL;

    int r = io_real_path(d->path, &real, err);
    if (r < 0)
        return r;
    SCOPED_LOCK(&p->lock);
    for (struct volume_copy *c = p->copies; c; c = c->next)
        if (!strcmp(c->set_id, pt->set_id) && (io_is_below(real, c->volume) || !strcmp(d->path, c->volume)) &&
            (!best || strlen(c->volume) > strlen(best->volume)))
            best = c;
    if (!best)
        return err_set(err, EXDEV, "%s is on none of the volumes that are copied", real);
    *ret = best;
    *ret_path = TAKE_PTR(real);
    return 0;
}

/* ---- Making ready -------------------------------------------------------------------------------------------------------------*/

/* Started again by somebody who knows nothing of the overlay, it would lack what it wrote last. Of a VM that is persistent libvirt
 * knows. */
static int check_persistent(const struct volume_provider *p, const struct volume_point *pt, struct err *err)
{
    if (!pt->active || pt->late || pt->dom->persistent)
        return 0;
    return err_set(err, EOPNOTSUPP,
                   "libvirt keeps no definition of it (it is transient), and whoever started it again would not know of an overlay: the "
                   "provider %s cannot be used for it",
                   p->kind->name);
}

static int name_overlay(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err)
{
    _cleanup_free_ char *dir = NULL;

    int r = hv_scratch_dir(p->config.hv, d->path, p->config.snapshot_dir, &dir, err);
    if (r >= 0 && !dir)
        r = err_set(err, EOPNOTSUPP, "there is no place for an overlay of %s: set snapshot-dir", d->path);
    if (r >= 0)
        r = provider_scratch_room(dir, p->config.scratch_reserve, err);
    if (r < 0)
        return r;
    d->overlay = str_format("%s/.kvss-%.8s-%.8s-%s.overlay", dir, pt->set_id, pt->vm_uuid, d->target);
    return d->overlay ? volume_overlay_effect(p, pt, d, err) : err_nomem(err);
}

static int prepare_overlays(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    _cleanup_free_ struct hv_overlay *list = calloc(pt->n_disks + 1, sizeof(*list));
    size_t n = 0;
    int r = list ? 0 : err_nomem(err);

    for (size_t i = 0; i < pt->n_disks && r >= 0; i++) {
        struct volume_disk *d = &pt->disks[i];
        if (!d->written)
            continue;
        r = name_overlay(p, pt, d, err);
        list[n++] = (struct hv_overlay){ .target = d->target, .path = d->overlay, .base = d->path, .format = d->format };
    }
    if (r < 0 || !n)
        return r;
    r = hv_overlay_prepare(pt->dom, list, n, &pt->request, err);
    if (r >= 0)
        hv_domain_ready(pt->dom);
    return r;
}

/* QEMU's own lock: until the image is copied the VM cannot be started, nor can another write it. */
static int lock_images(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < pt->n_disks && r >= 0; i++) {
        struct volume_disk *d = &pt->disks[i];
        r = hv_export_start(p->config.session_dir, d->path, d->format, HV_EXPORT_READ, &d->lock, err);
    }
    return r < 0 ? r : 0;
}

int volume_point_prepare(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    int r = check_persistent(p, pt, err);

    for (size_t i = 0; i < pt->n_disks && r >= 0; i++) {
        struct volume_copy *c = NULL;
        _cleanup_free_ char *real = NULL;
        r = volume_copy_of(p, pt, &pt->disks[i], &c, &real, err);
        if (r >= 0 && p->kind->check_disk)
            r = p->kind->check_disk(p, &pt->disks[i], err);
        if (r < 0)
            err_context(err, "disk %s", pt->disks[i].target);
    }
    if (r >= 0 && pt->tracked)
        r = volume_checkpoint_effect(p, pt, err);
    if (r >= 0 && !pt->late)
        r = pt->active ? prepare_overlays(p, pt, err) : lock_images(p, pt, err);
    return r < 0 ? err_context(err, "VM %s", pt->vm_name) : 0;
}

/* ---- The instant, and after it ----------------------------------------------------------------------------------------------------*/

static int copy_disks(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < pt->n_disks && r >= 0 && p->kind->copy_disk; i++) {
        r = p->kind->copy_disk(p, pt, &pt->disks[i], err);
        if (r < 0)
            err_context(err, "disk %s of VM %s", pt->disks[i].target, pt->vm_name);
    }
    return r < 0 ? r : 0;
}

/* Before the instant, if the VM is not held: then what it writes in between is told as a change, too. */
static int make_checkpoint(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    if (!pt->tracked)
        return 0;
    int r = hv_checkpoint_create(pt->dom, pt->checkpoint, pt->tracked, err);
    return r < 0 ? r : volume_effect_done(p, pt->fx_checkpoint, err);
}

int volume_point_take(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    int r = make_checkpoint(p, pt, err);
    if (r < 0 || pt->late)
        return r < 0 ? r : copy_disks(p, pt, err);
    if (!pt->request)
        return 0;
    r = hv_overlay_begin(pt->dom, &pt->request, err);
    for (size_t i = 0; i < pt->n_disks && r >= 0; i++)
        if (pt->disks[i].fx_overlay)
            r = volume_effect_done(p, pt->disks[i].fx_overlay, err);
    return r < 0 ? r : 0;
}

static void unlock_images(struct volume_point *pt)
{
    for (size_t i = 0; i < pt->n_disks; i++)
        (void)hv_export_stop(TAKE_PTR(pt->disks[i].lock), NULL);
}

int volume_point_end(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    int r = pt->late ? 0 : copy_disks(p, pt, err);

    unlock_images(pt);
    for (size_t i = 0; i < pt->n_disks && r >= 0; i++) {
        const struct volume_disk *d = &pt->disks[i];
        const struct hv_overlay o = { .target = d->target, .path = d->overlay, .base = d->path, .format = d->format };
        r = d->fx_overlay ? hv_overlay_end(p->config.hv, pt->vm_uuid, &o, err) : 0;
        if (r > 0)
            r = -ESTALE;
    }
    for (size_t i = 0; i < pt->n_disks && r >= 0; i++)
        r = journal_undo(p->config.journal, pt->disks[i].fx_overlay, err); /* the file */
    return r < 0 ? r : 0;
}

/* Copies first: while they hold the blocks of the image, what is committed into it takes new room. The checkpoint last, and only if no
 * overlay is left: QEMU cannot change the bitmaps of an image below one. */
int volume_point_undo(struct volume_provider *p, struct volume_point *pt, bool drop_checkpoint, struct err *err)
{
    struct err late = ERR_INIT;
    int first = 0;

    unlock_images(pt);
    for (size_t i = 0; i < pt->n_disks; i++) {
        struct err why = ERR_INIT;
        (void)hv_export_stop(TAKE_PTR(pt->disks[i].export), NULL);
        if (journal_undo(p->config.journal, pt->disks[i].fx_copy, &why) < 0 && !first)
            first = err_move(err, &why);
        if (journal_undo(p->config.journal, pt->disks[i].fx_overlay, &why) < 0 && !first)
            first = err_move(err, &why);
    }
    if (drop_checkpoint && !first && journal_undo(p->config.journal, pt->fx_checkpoint, &late) < 0)
        first = err_move(err, &late);
    return first;
}
