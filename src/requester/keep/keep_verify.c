/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads back and verifies what the repository holds. */
#include "requester/keep/findings.h"
#include "requester/repository/repository.h"
#include <errno.h>

/* id NULL: all. */
static void note_verified(struct requester *rq, const char *id)
{
    _cleanup_strv_ char **ids = NULL;
    struct store_point_info *list = NULL;
    size_t n = 0;
    int r = id ? strv_add(&ids, id) : store_list(rq->store, &list, &n, NULL, NULL);

    for (size_t i = 0; i < n && r >= 0; i++)
        r = strv_add(&ids, list[i].id);
    if (r >= 0)
        known_note_verified(rq, ids);
    store_list_free(list, n);
}

static int verify(struct requester *rq, const char *id, json_t **ret, struct err *err)
{
    _cleanup_(findings_clear) struct findings f = { 0 };
    uint64_t count = 0;

    int r = findings_begin(&f, err);
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
    if (!count)
        note_verified(rq, id);
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
