/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the providers of volumes do to VMs and file systems, each with its undo. All are harmless where the effect never came about. */
#include "base/io_at.h"
#include "providers/volume_internal.h"
#include <errno.h>

/* Which image it was, for where the VM that could tell is gone. */
int volume_overlay_effect(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct io_id id;

    int r = io_open_parent(d->path, &dir, &name, err);
    if (r >= 0 && (r = io_id_at(dir, name, &id)) < 0)
        err_errno(err, -r, "cannot access image %s", d->path);
    if (r < 0)
        return r;
    const struct journal_arg args[] = {
        { "group", pt->vm_uuid }, { "vm", pt->vm_name },  { "path", d->overlay },  { "target", d->target },
        { "base", d->path },      { "base_id", id.text }, { "format", d->format }, { NULL, NULL },
    };
    return journal_begin(p->config.journal, VERB_OVERLAY, args, &d->fx_overlay, err);
}

int volume_checkpoint_effect(struct volume_provider *p, struct volume_point *pt, struct err *err)
{
    const struct journal_arg args[] = { { "group", pt->vm_uuid }, { "vm", pt->vm_name }, { "name", pt->checkpoint }, { NULL, NULL } };

    return journal_begin(p->config.journal, VERB_CHECKPOINT, args, &pt->fx_checkpoint, err);
}

int volume_copy_effect(struct volume_provider *p, const struct volume_point *pt, const char *path, uint64_t *ret_id, struct err *err)
{
    const struct journal_arg of_vm[] = {
        { "group", pt ? pt->vm_uuid : "" }, { "vm", pt ? pt->vm_name : "" }, { "path", path }, { NULL, NULL }
    };
    const struct journal_arg plain[] = { { "path", path }, { NULL, NULL } };

    return journal_begin(p->config.journal, pt ? VERB_IMAGE_COPY : VERB_VOLUME_COPY, pt ? of_vm : plain, ret_id, err);
}

int volume_effect_done(struct volume_provider *p, uint64_t id, struct err *err)
{
    int r = journal_done(p->config.journal, id);

    return r < 0 ? err_errno(err, -r, "a step of making the shadow copy failed") : 0;
}

static int undo_overlay(void *ctx, const struct journal_effect *e, struct err *err)
{
    const struct hv_overlay o = {
        .target = journal_value(e, "target"),
        .path = journal_value(e, "path"),
        .base = journal_value(e, "base"),
        .format = journal_value(e, "format"),
        .base_id = journal_value(e, "base_id"),
        .undo = true,
        .half_made = !journal_is_done(e),
        .inherited = journal_is_inherited(e),
    };

    int r = hv_overlay_end(ctx, journal_value(e, "group"), &o, err);
    return r != 0 ? r : journal_remove_made(e, "path", true, err);
}

/* Its name has the set's number in it, or the checkpoint's, and the VM's. */
static int undo_image_copy(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_remove_made(e, "path", true, err);
}

int volume_kept_effect(struct volume_provider *p, const struct volume_point *pt, const char *path, uint64_t *ret_id, struct err *err)
{
    const struct journal_arg args[] = { { "group", pt->vm_uuid }, { "vm", pt->vm_name }, { "path", path }, { NULL, NULL } };

    return journal_begin(p->config.journal, VERB_KEPT_COPY, args, ret_id, err);
}

static int undo_volume_copy(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };

    (void)ctx;
    int r = journal_place_find(e, "path", &p, err);
    if (r < 0 || r == JOURNAL_ABSENT)
        return r < 0 ? r : 0;
    return r == JOURNAL_OTHERS ? journal_left_alone(p.path, err) : btrfs_remove(p.dir, p.name, p.path, err);
}

const struct journal_verb volume_provider_verbs[] = {
    { VERB_OVERLAY, undo_overlay, .undone = "its disk writes into its own image again", .places = { "path" }, .holds = true },
    { VERB_IMAGE_COPY, undo_image_copy, .places = { "path" } },
    { VERB_KEPT_COPY, undo_image_copy, .places = { "path" }, .lasting = true },
    { VERB_VOLUME_COPY, undo_volume_copy, .undone = "the shadow copy of the volume is removed", .places = { "path" } },
    { NULL, NULL },
};
