/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Increments of disks whose format records no changes: by a copy that is kept from one backup to the next. Clause B4. */
#include "base/buf.h"
#include "base/io.h"
#include "providers/volume_internal.h"
#include <errno.h>
#include <string.h>

static struct hv_kept_copy kept_of(const struct volume_point *pt, const struct volume_disk *d, const char *checkpoint)
{
    return (struct hv_kept_copy){ .vm_uuid = pt->vm_uuid, .target = d->target, .checkpoint = checkpoint, .image = d->path };
}

int volume_kept_ask(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err)
{
    const struct hv_kept_copy k = kept_of(pt, d, d->kept_since);
    struct err why = ERR_INIT;

    int r = hv_kept_copy_changes(p->config.hv, &k, d->copy, &d->changed, &d->n_changed, &why);
    d->changes_known = r >= 0;
    if (r >= 0)
        return 0;
    if (r == -ENOMEM)
        return err_move(err, &why);
    d->why_full =
        why.code ? str_format("the copy that was kept is of no use: %s", why.text)
                 : str_format("images of format %s cannot store dirty bitmaps, and no copy of this one was kept (keep-copies)", d->format);
    return d->why_full ? 0 : err_nomem(err);
}

/* It stays if the backup does, like a checkpoint; else the journal takes it away. */
static int keep_disk(struct volume_provider *p, const struct volume_point *pt, const struct volume_disk *d, struct err *err)
{
    const struct hv_kept_copy k = kept_of(pt, d, pt->checkpoint);
    _cleanup_free_ char *path = hv_kept_copy_path(p->config.hv, &k, err), *dir = path ? io_dirname(path) : NULL;
    uint64_t fx = 0;

    if (!path)
        return -err->code;
    int r = dir ? provider_scratch_room(dir, p->config.scratch_reserve, err) : err_nomem(err);
    if (r >= 0)
        r = volume_kept_effect(p, pt, path, &fx, err);
    if (r < 0)
        return r;
    r = hv_kept_copy_make(p->config.hv, &k, d->copy, err);
    if (r >= 0)
        r = volume_effect_done(p, fx, err);
    if (r < 0)
        (void)journal_undo(p->config.journal, fx, NULL);
    return r;
}

void volume_kept_make(struct volume_provider *p, const char *set_id)
{
    for (struct volume_point *pt = p->points; pt && p->config.keep_copies; pt = pt->next)
        for (size_t i = 0; i < pt->n_disks && !strcmp(pt->set_id, set_id); i++) {
            const struct volume_disk *d = &pt->disks[i];
            struct err why = ERR_INIT;
            if (d->keeps && d->copy && keep_disk(p, pt, d, &why) < 0)
                log_warning(p->config.log, "VM %s, disk %s: no copy is kept, so the next backup reads all of it: %s", pt->vm_name,
                            d->target, why.text);
        }
}
