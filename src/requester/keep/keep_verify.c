/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads back and verifies what the repository holds. */
#include "requester/keep/findings.h"
#include "requester/repository/repository.h"
#include <errno.h>

/* What is about to be verified; id NULL: all. Points that are made meanwhile need not be read. */
static int verify_ids(struct requester *rq, const char *id, char ***ret, struct err *err)
{
    struct store_point_info *list = NULL;
    size_t n = 0;

    int r = id ? 0 : store_list(rq->store, &list, &n, NULL, err);
    if (r >= 0 && id && strv_add(ret, id) < 0)
        r = err_nomem(err);
    for (size_t i = 0; i < n && r >= 0; i++)
        if (strv_add(ret, list[i].id) < 0)
            r = err_nomem(err);
    store_list_free(list, n);
    return r;
}

static int verify(struct requester *rq, const char *id, json_t **ret, struct err *err)
{
    _cleanup_(findings_clear) struct findings f = { 0 };
    _cleanup_strv_ char **ids = NULL;
    uint64_t count = 0;

    int r = findings_begin(&f, err);
    if (r >= 0)
        r = verify_ids(rq, id, &ids, err);
    if (r >= 0)
        r = store_verify(rq->store, id, findings_note, &f, rq->config.cancel, &count, err);
    _cleanup_json_ json_t *report = r < 0 ? NULL : json_pack("{s:o}", "point", json_text(id));
    if (r >= 0)
        r = verify_restorable(rq, id, &f, report, &count, err);
    if (r >= 0)
        json_object_set_new(report, "count", json_integer((json_int_t)count));
    if (r >= 0)
        r = findings_report(rq, &f, id, report, err);
    if (r >= 0 && !id) /* all that is there was read; what is not there counts as it does for fsck */
        r = known_report(rq, report, err);
    if (r < 0)
        return r;
    if (!count && ids)
        known_note_verified(rq, ids);
    bool is_short = !id && known_is_short(rq);
    *ret = TAKE_PTR(report);
    rq->end = count || is_short ? REQUESTER_DAMAGED : REQUESTER_DONE;
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
