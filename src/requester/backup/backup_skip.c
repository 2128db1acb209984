/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM must not keep all others from being backed up, where that is asked for (skip_failed): of an attempt that failed, for which VMs it
 * did, and the set without them. Otherwise one that fails is the end of all (M10). */
#include "requester/backup/backup.h"
#include <errno.h>
#include <string.h>

bool backup_skip(struct backup_tries *t, struct backup *b)
{
    size_t vms = 0, blamed = 0, i;
    json_t *f;

    for (i = 0; b->uuids && b->uuids[i]; i++) {
        bool failed = failures_have(b->failures, b->uuids[i]);
        vms += !failed;
        blamed += failed;
    }
    if (!b->job->skip_failed || !blamed || !vms)
        return false;
    if (!t->skipped && !(t->skipped = json_array()))
        return false;
    json_array_foreach (b->failures, i, f) {
        const char *name = json_get_text(f, "name"), *uuid = json_get_text(f, "uuid"), *cause = json_get_text(f, "cause");
        _cleanup_free_ char *why = uuid ? str_format("failed: %s", cause) : NULL;
        if (!uuid)
            continue; /* a writer's, which is not left out */
        if (json_array_append_new(t->skipped,
                                  json_pack("{s:s, s:s, s:o, s:b}", "name", name, "uuid", uuid, "why", json_text(why), "failed", 1)) < 0)
            return false;
        log_warning(b->rq->config.log, "VM %s failed: %s; its changes were rolled back, continuing without it", name, cause);
    }
    return true;
}

int backup_leave_skipped(struct backup *b, char **uuids, struct err *err)
{
    size_t n = 0, i;
    json_t *vm;

    for (i = 0; uuids[i]; i++) {
        if (failures_have(b->tries->skipped, uuids[i]))
            free(uuids[i]);
        else
            uuids[n++] = uuids[i];
    }
    uuids[n] = NULL;
    json_array_foreach (b->tries->skipped, i, vm)
        if (json_array_append(b->vms_left_out, vm) < 0)
            return err_nomem(err);
    return n ? 0 : err_set(err, EPERM, "no VMs left to back up");
}
