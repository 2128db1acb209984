/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checkpoints that backups leave on VMs for the next increment (B4), taken away on request. */
#include "requester/session/session.h"
#include <errno.h>

static int checkpoints_drop(struct hv *hv, const char *uuid, void *arg, json_t *vms, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_strv_ char **dropped = NULL;

    (void)arg;
    int r = hv_domain_get(hv, uuid, &d, err);
    if (r >= 0 && d->state != HV_RUNNING && d->state != HV_PAUSED && d->state != HV_OFF)
        r = err_set(err, EBUSY, "VM %s is %s: its checkpoints can be dropped only while it is running, paused or off", d->name,
                    d->state_detail);
    if (r >= 0)
        r = hv_checkpoints_drop(d, CHECKPOINT_MARK, &dropped, err);
    if (r < 0)
        return r;
    json_t *names = dropped ? json_strv(dropped) : json_array();
    json_array_append_new(vms, json_pack("{s:s, s:s, s:o}", "name", d->name, "uuid", d->uuid, "dropped", names));
    return 0;
}

int requester_checkpoint_drop(struct requester *rq, char *const *names, json_t **ret, struct err *err)
{
    return session_each_vm(rq, names, &(struct vm_job){ "checkpoint drop", checkpoints_drop, NULL }, ret, err);
}
