/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a job goes and ends. */
#include "requester/context/context.h"
#include <errno.h>

enum requester_end requester_end(const struct requester *r)
{
    return r->end;
}

const json_t *requester_failures(const struct requester *r)
{
    return r ? r->failures : NULL;
}

bool requester_carries_on(const struct requester *r)
{
    return r && __atomic_load_n(&r->carries_on, __ATOMIC_SEQ_CST);
}

int job_cancelled(const struct requester *rq, struct err *err)
{
    return par_cancelled(rq->config.cancel) ? err_set(err, EINTR, "interrupted") : 0;
}

int job_end(struct requester *rq, int r, struct err *err)
{
    if (r >= 0)
        return r;
    if (rq->end != REQUESTER_DONE)
        return r;
    if (par_cancelled(rq->config.cancel))
        rq->end = REQUESTER_INTERRUPTED;
    else
        rq->end = err && err->code == EUCLEAN ? REQUESTER_DAMAGED : REQUESTER_FAILED;
    return r;
}
