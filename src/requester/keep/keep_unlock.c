/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/repository/repository.h"
#include <errno.h>

static int unlock(struct requester *rq, bool all, char *const *ids, json_t **ret, struct err *err)
{
    _cleanup_free_ struct store_lock_info *left = NULL;
    json_t *locks = json_array();
    size_t n = 0, removed = 0;

    int r = ids && *ids ? 0 : store_unlock(rq->store, all, &removed, err);
    for (; r >= 0 && ids && *ids; ids++) {
        r = store_unlock_one(rq->store, *ids, err);
        removed += r >= 0;
    }
    if (r >= 0)
        r = store_lock_list(rq->store, &left, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        json_array_append_new(locks, json_pack("{s:s, s:s, s:b, s:b}", "id", left[i].id, "owner", left[i].owner, "stale", left[i].stale,
                                               "maintenance", left[i].maintenance));
    if (r >= 0 && !(*ret = json_pack("{s:I, s:O}", "removed", (json_int_t)removed, "locks", locks)))
        r = err_nomem(err);
    json_decref(locks);
    return r;
}

int requester_unlock(struct requester *rq, bool all, char *const *ids, json_t **ret, struct err *err)
{
    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = unlock(rq, all, ids, ret, err);
    return job_end(rq, r, err);
}
