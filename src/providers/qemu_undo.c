/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How each effect of the `qemu` provider is reversed. All are harmless where the effect never came about. */
#include "providers/qemu_internal.h"
#include <errno.h>

int qemu_effect(struct qemu_provider *p, const struct qemu_point *pt, const char *verb, const char *name, const char *value,
                uint64_t *ret_id, struct err *err)
{
    const struct journal_arg args[] = { { "group", pt->vm_uuid }, { "vm", pt->vm_name }, { name, value }, { NULL, NULL } };
    return journal_begin(p->config.journal, verb, args, ret_id, err);
}

/* Its name has a random part, and it is in the session's own folder. */
static int undo_dir(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_remove_made(e, "path", true, err);
}

/* Its name has a random part, and what is no socket, or in another folder, is not touched. */
static int undo_socket(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return hv_backup_socket_remove(journal_value(e, "path"), err);
}

/* That of a QEMU elsewhere, which has no "path" here, is libvirt's to remove. */
static int undo_scratch(void *ctx, const struct journal_effect *e, struct err *err)
{
    (void)ctx;
    return journal_value(e, "path") ? journal_remove_made(e, "path", true, err) : 0;
}

/* The VM may have been shut down or undefined meanwhile; then its job is gone too. */
static int with_domain(struct hv *hv, const struct journal_effect *e, bool disks, struct hv_domain **ret, struct err *err)
{
    int r = (disks ? hv_domain_get : hv_domain_find)(hv, journal_value(e, "group"), ret, err);
    if (r == -ENOENT) {
        err_clear(err);
        return 0;
    }
    return r < 0 ? r : 1;
}

static int undo_job(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = with_domain(ctx, e, false, &d, err);
    if (r <= 0)
        return r;
    if (journal_is_inherited(e))
        hv_backup_settle(d);
    if ((r = hv_backup_end(d, err)) < 0)
        return r;
    /* Its scratch space had run out: without the job QEMU can do the write that it stopped the VM for. */
    r = hv_domain_refresh_state(d, err);
    return r >= 0 && d->io_error ? hv_resume(d, err) : r;
}

static int undo_checkpoint(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = with_domain(ctx, e, true, &d, err);
    return r <= 0 ? r : hv_checkpoint_delete(d, journal_value(e, "name"), false, err);
}

const struct journal_verb qemu_provider_verbs[] = {
    { VERB_SHADOW_DIR, undo_dir, .places = { "path" } },
    { VERB_CLOSED_DIR, qemu_undo_closed, .undone = "libvirt's folder of the VM is open to QEMU's group again", .places = { "path" } },
    { VERB_SOCKET, undo_socket },
    { VERB_SCRATCH, undo_scratch, .places = { "path" } },
    { VERB_BACKUP_JOB, undo_job, .undone = "its backup job has ended", .holds = true },
    { VERB_CHECKPOINT, undo_checkpoint, .undone = "its checkpoint is deleted", .lasting = true, .in_order = true },
    { NULL, NULL },
};
