/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain of checkpoints that increments are made from (B4): those of this repository that no one needs any more go. */
#include "base/buf.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

static bool chain_is_ours(const struct vm_writer *w, const char *name)
{
    size_t n = strlen(w->config.checkpoint_prefix);
    return !strncmp(name, w->config.checkpoint_prefix, n) && name[n] == '-';
}

/* They are looked for next to its images, as of when the VM was examined. */
static int drop_kept_copies(struct vm_writer *w, const char *uuid, char *const *keep, struct err *err)
{
    const struct vm_known *known = vm_known_find(w, uuid);

    int r = known ? hv_kept_copies_drop(known->dom, w->config.checkpoint_prefix, keep, NULL, err) : 0;
    return r < 0 ? err_context(err, "kept copies of disks") : 0;
}

static int drop_checkpoints(struct vm_writer *w, const char *uuid, char *const *keep, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    size_t n_snapshots = 0;

    int r = hv_domain_find(w->config.hv, uuid, &d, err);
    if (r >= 0)
        r = hv_domain_read_checkpoints(d, err);
    if (r < 0)
        return r;
    if (d->state != HV_RUNNING && d->state != HV_PAUSED && d->state != HV_OFF)
        return 0;                                    /* the next backup sees to it */
    r = hv_internal_snapshots(d, &n_snapshots, err); /* beside a checkpoint they could not be reverted to */
    if (r < 0)
        return r;
    for (char **c = d->checkpoints; c && *c; c++) {
        if (!chain_is_ours(w, *c) || (!n_snapshots && strv_has(keep, *c)))
            continue;
        r = hv_checkpoint_delete(d, *c, false, err);
        if (r < 0)
            return err_context(err, "VM %s", d->name);
    }
    return 0;
}

/* They do not wait for each other: libvirt may refuse to delete a checkpoint for long, and copies take up room. */
int vm_writer_drop_checkpoints(struct vm_writer *w, const char *uuid, char *const *keep, struct err *err)
{
    struct err why = ERR_INIT;

    if (!w->config.checkpoint_prefix)
        return 0;
    int r = drop_checkpoints(w, uuid, keep, err), r2 = drop_kept_copies(w, uuid, keep, &why);
    return r < 0 || r2 >= 0 ? r : err_move(err, &why);
}
