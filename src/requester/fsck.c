/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The repository's own structure: every restore point's tree, every chunk's place in a pack, and packs read back. */
#include "requester/internal.h"
#include <errno.h>

static json_t *fsck_report(const struct store_check_result *c, json_t *problems)
{
    const struct { const char *name; uint64_t value; } numbers[] = {
        { "points", c->points }, { "points_damaged", c->points_damaged }, { "packs", c->packs }, { "packs_read", c->packs_read },
        { "unused_packs", c->unused_packs }, { "chunks", c->chunks }, { "bytes_read", c->bytes_read }, { "count", c->problems },
    };
    json_t *o = json_pack("{s:O}", "problems", problems);

    for (size_t i = 0; o && i < ARRAY_SIZE(numbers); i++)
        json_object_set_new(o, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    return o;
}

int requester_fsck(struct requester *rq, unsigned read_data_percent, json_t **ret, struct err *err)
{
    const struct store_check o = { .read_data_percent = read_data_percent, .cancel = rq->config.cancel,
                                   .progress = rq->config.progress };
    _cleanup_json_ json_t *problems = json_array();
    struct store_check_result result = { 0 };

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = store_check(rq->store, &o, problems_note, problems, &result, err);
    if (r >= 0) {
        problems_name_vms(rq, problems);
        *ret = fsck_report(&result, problems);
        r = *ret ? 0 : err_set(err, ENOMEM, "out of memory");
    }
    if (r >= 0)
        rq->end = result.problems ? REQUESTER_DAMAGED : REQUESTER_DONE;
    return job_end(rq, r, err);
}
