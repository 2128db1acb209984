/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checkpoints that backups leave on VMs for the next increment (B4), taken away on request. */
#include "requester/claim.h"
#include <errno.h>

static int drop(struct session *s, const char *uuid, json_t *vms, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_strv_ char **dropped = NULL;

    int r = hv_domain_get(s->hv, uuid, &d, err);
    if (r >= 0 && d->state != HV_RUNNING && d->state != HV_PAUSED && d->state != HV_OFF)
        r = err_set(err, EBUSY, "VM %s is %s: its checkpoints can be dropped while it runs, is paused, or is off", d->name,
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
    struct session_options o = { .restore = true };
    struct patience none = { 0 };
    struct claims *claims = NULL;
    struct session *s = NULL;
    _cleanup_strv_ char **uuids = NULL;
    _cleanup_json_ json_t *vms = json_array();

    rq->end = REQUESTER_DONE;
    int r = session_open(rq, &o, &s, err);
    if (r >= 0)
        r = select_vms(s->hv, &(struct vm_selection){ names, NULL }, &uuids, NULL, err);
    if (r >= 0 && (r = claims_take(rq, s->hv, uuids, &(struct claim_for){ "checkpoint drop", true }, &none, &claims, err)) == -EBUSY)
        rq->end = REQUESTER_REFUSED;
    for (char **uuid = uuids; r >= 0 && uuid && *uuid; uuid++)
        r = drop(s, *uuid, vms, err);
    if (r >= 0 && !(*ret = json_pack("{s:O}", "vms", vms)))
        r = err_set(err, ENOMEM, "out of memory");
    if (r >= 0)
        s->done = true;
    session_close(s, NULL);
    claims_free(claims);
    return job_end(rq, r, err);
}
