/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job that does the same with each of some VMs, one after the other, while no other session has them. */
#include "requester/session/session.h"
#include <errno.h>

int session_each_vm(struct requester *rq, char *const *names, const struct vm_job *job, json_t **ret, struct err *err)
{
    struct session_options o = { .restore = true };
    struct patience none = { 0 };
    struct claims *claims = NULL;
    struct session *s = NULL;
    _cleanup_strv_ char **uuids = NULL;
    _cleanup_json_ json_t *vms = json_array();

    rq->end = REQUESTER_DONE;
    int r = vms ? session_open(rq, &o, &s, err) : err_nomem(err);
    if (r >= 0)
        r = select_vms(s->hv, &(struct vm_selection){ .names = names }, &uuids, NULL, err);
    if (r >= 0 && (r = claims_take(rq, s->hv, uuids, &(struct claim_for){ job->what, true }, &none, &claims, err)) == -EBUSY)
        rq->end = REQUESTER_REFUSED;
    for (char **uuid = uuids; r >= 0 && uuid && *uuid; uuid++)
        if ((r = job_cancelled(rq, err)) >= 0)
            r = job->fn(s->hv, *uuid, job->arg, vms, err);
    if (r >= 0 && !(*ret = json_pack("{s:O}", "vms", vms)))
        r = err_nomem(err);
    if (r >= 0)
        s->done = true;
    session_close(s, NULL);
    claims_free(claims);
    return job_end(rq, r, err);
}
