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
    return !strcmp(d->format, "qcow2") && image_is_old_qcow2(d->path);
}

static char *why_not_in(const struct qemu_disk *d)
{
    if (qemu_is_old_qcow2(d))
        return strdup(OLD_QCOW2);
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

int qemu_since_export(struct qemu_disk *d, const char *dir, struct err *err)
{
    char *why = NULL;

    int r = image_export_since(dir, d->path, d->since, &d->export, &why, err);
    return r < 0 || !why ? r : read_whole(d, why, err);
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
