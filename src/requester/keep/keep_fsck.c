/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The repository's own structure: every restore point's tree, every chunk's place in a pack, and packs read back. */
#include "requester/keep/findings.h"
#include "requester/repository/repository.h"
#include <errno.h>

static json_t *fsck_report(const struct store_check_result *c)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "points", c->points },
        { "points_damaged", c->points_damaged },
        { "packs", c->packs },
        { "packs_read", c->packs_read },
        { "unused_packs", c->unused_packs },
        { "chunks", c->chunks },
        { "bytes_read", c->bytes_read },
        { "count", c->problems },
    };
    json_t *o = json_object();

    for (size_t i = 0; o && i < ARRAY_SIZE(numbers); i++)
        json_object_set_new(o, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    return o;
}

int requester_fsck(struct requester *rq, unsigned read_data_percent, json_t **ret, struct err *err)
{
    const struct store_check o = { .read_data_percent = read_data_percent, .cancel = rq->config.cancel, .progress = rq->config.progress };
    _cleanup_(findings_clear) struct findings f = { 0 };
    _cleanup_json_ json_t *report = NULL;
    struct store_check_result result = { 0 };

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = findings_begin(&f, err);
    if (r >= 0)
        r = store_check(rq->store, &o, findings_note, &f, &result, err);
    if (r >= 0)
        r = findings_report(rq, &f, NULL, report = fsck_report(&result), err);
    if (r >= 0)
        r = known_report(rq, report, err);
    if (r >= 0) {
        *ret = TAKE_PTR(report);
        rq->end = result.problems || known_is_short(rq) ? REQUESTER_DAMAGED : REQUESTER_DONE;
    }
    return job_end(rq, r, err);
}
