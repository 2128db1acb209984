/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads back and verifies what the repository holds. */
#include "requester/internal.h"
#include <errno.h>

#define LISTED_MAX 1000

static void note(void *priv, const struct store_problem *p)
{
    json_t *list = priv;

    if (json_array_size(list) < LISTED_MAX)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "what", json_text(p->what), "point", json_text(p->point), "name",
                                              json_text(p->name)));
}

static int verify(struct requester *rq, const char *id, json_t **ret, struct err *err)
{
    json_t *problems = json_array();
    uint64_t count = 0;

    int r = store_verify(rq->store, id, note, problems, rq->config.cancel, &count, err);
    if (r < 0) {
        json_decref(problems);
        return r;
    }
    *ret = json_pack("{s:o, s:o, s:I}", "point", json_text(id), "problems", problems, "count", (json_int_t)count);
    if (!*ret)
        return err_set(err, ENOMEM, "out of memory");
    rq->end = count ? REQUESTER_DAMAGED : REQUESTER_DONE;
    return 0;
}

int requester_verify(struct requester *rq, const char *point, json_t **ret, struct err *err)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0 && point) /* the id in full, of a prefix or "latest" */
        r = store_point_open(rq->store, point, &p, err);
    if (r >= 0)
        r = verify(rq, p ? store_point_id(p) : NULL, ret, err);
    return job_end(rq, r, err);
}
