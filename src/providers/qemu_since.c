/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Increments: which disks can tell what changed since a checkpoint (B4). One that cannot is read whole, and says why. */
#include "base/buf.h"
#include "providers/qemu_internal.h"
#include <errno.h>
#include <string.h>

/* why is taken over. */
static int read_whole(struct qemu_disk *d, char *why, struct err *err)
{
    free(d->since);
    d->since = NULL;
    free(d->why_full);
    d->why_full = why;
    return why ? 0 : err_nomem(err);
}

int qemu_since_ask(struct qemu_point *pt, struct qemu_disk *d, const char *since, struct err *err)
{
    if (strcmp(d->format, "qcow2"))
        return read_whole(d, str_format("images of format %s cannot store dirty bitmaps", d->format), err);
    if (d->readonly && pt->active)
        return read_whole(d, strdup("the VM cannot write to it, so it takes no part in checkpoints"), err);
    if (d->readonly && !d->path)
        return read_whole(d, strdup("it is on the network, and no QEMU that could track changes has it open"), err);
    d->since = strdup(since);
    return d->since ? 0 : err_nomem(err);
}

bool qemu_is_old_qcow2(const struct qemu_disk *d)
{
    struct hv_image_info info = { 0 };

    if (!d->path || hv_image_info(NULL, d->path, d->format, true, &info, NULL) < 0)
        return false;
    bool old = info.compat && !strcmp(info.compat, "0.10");
    hv_image_info_clear(&info);
    return old;
}

static char *why_not_in(const struct qemu_disk *d)
{
    if (qemu_is_old_qcow2(d))
        return strdup(
            "images of the old qcow2 version cannot store dirty bitmaps; to upgrade it, with the VM off: qemu-img amend -o compat=1.1");
    return str_format("the disk was not part of checkpoint %s", d->since);
}

int qemu_since_check(struct qemu_point *pt, struct err *err)
{
    _cleanup_strv_ char **targets = NULL;
    const char *listed = NULL;
    int r = 0;

    for (size_t i = 0; i < pt->n_disks && r >= 0; i++) {
        struct qemu_disk *d = &pt->disks[i];
        if (!d->since)
            continue;
        if (!strv_has(pt->dom->checkpoints, d->since)) {
            r = read_whole(d, str_format("the VM no longer has checkpoint %s", d->since), err);
            continue;
        }
        if (!listed)
            r = hv_checkpoint_disks(pt->dom, listed = d->since, &targets, err);
        if (r >= 0 && !strv_has(targets, d->target))
            r = read_whole(d, why_not_in(d), err);
    }
    return r;
}

/* Why the bitmap of an image that no QEMU has open cannot be used; NULL: it can. */
static const char *unusable(const struct hv_image_info *info, const char *bitmap)
{
    for (size_t i = 0; i < info->n_bitmaps; i++) {
        const struct hv_bitmap *b = &info->bitmaps[i];
        if (strcmp(b->name, bitmap))
            continue;
        if (b->in_use)
            return "is inconsistent: QEMU had the image open and exited without closing it";
        return b->recording ? NULL : "was not recording";
    }
    return "is not in the image";
}

int qemu_since_export(struct qemu_disk *d, const char *dir, struct err *err)
{
    struct hv_image_info info = { 0 };
    struct err why = ERR_INIT;

    int r = hv_image_info(NULL, d->path, d->format, true, &info, err);
    if (r < 0)
        return r;
    const char *reason = unusable(&info, d->since);
    if (!reason && hv_export_start_dirty(dir, d->path, d->format, d->since, &d->export, &why) < 0)
        reason = why.code == EBUSY ? NULL : "cannot be read";
    hv_image_info_clear(&info);
    if (reason)
        return read_whole(d, str_format("the dirty bitmap %s %s", d->since, reason), err);
    return why.code ? err_move(err, &why) : 0;
}

/* libvirt names the disk whose bitmap it finds missing, inconsistent or of another chain. */
static bool blames(const struct err *why, const char *target)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "disk '%s'", target);
    return strstr(why->text, quoted);
}

int qemu_since_refused(struct qemu_point *pt, const struct err *why, struct err *err)
{
    bool anyone = false, someone = false;

    for (size_t i = 0; i < pt->n_disks; i++) {
        anyone |= pt->disks[i].since != NULL;
        someone |= pt->disks[i].since && blames(why, pt->disks[i].target);
    }
    if (!anyone)
        return err_move(err, why);
    for (size_t i = 0; i < pt->n_disks; i++) {
        struct qemu_disk *d = &pt->disks[i];
        if (!d->since || (someone && !blames(why, d->target)))
            continue;
        int r = read_whole(d, str_format("the dirty bitmap cannot be used: %s", why->text), err);
        if (r < 0)
            return r;
    }
    return 0;
}
