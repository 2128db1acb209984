/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving back the space of what no restore point uses, and making the index anew. */
#include "base/clock.h"
#include "requester/session/session.h"
#include "requester/repository/repository.h"
#include <errno.h>

static json_t *prune_report(const struct requester_prune *job, const struct store_prune_result *p)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "points", p->points },
        { "chunks", p->chunks },
        { "packs", p->packs },
        { "packs_deleted", p->packs_deleted },
        { "packs_repacked", p->packs_repacked },
        { "bytes_used", p->bytes_used },
        { "bytes_unused", p->bytes_unused },
        { "packs_mended", p->packs_mended },
        { "bytes_freed", p->bytes_freed },
        { "bytes_later", p->bytes_later },
    };
    char later[32];
    json_t *o = json_pack("{s:b, s:o, s:o}", "dry_run", job->dry_run, "waits_for", json_text(p->waits_for[0] ? p->waits_for : NULL),
                          "later", json_text(p->later_us ? clock_format(p->later_us, later) : NULL));

    for (size_t i = 0; o && i < ARRAY_SIZE(numbers); i++)
        json_object_set_new(o, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    return o;
}

/* Two prunes, or one and a repair, exclude each other. */
static int prune(struct requester *rq, const struct store_prune *o, const struct patience *patience, struct store_prune_result *ret,
                 struct err *err)
{
    bool told = false;

    for (;;) {
        struct err why = ERR_INIT;
        int r = store_prune(rq->store, o, ret, &why);
        if (r != -EBUSY)
            return r < 0 ? err_move(err, &why) : r;
        r = patience_wait(rq, patience, err);
        if (r <= 0)
            return r < 0 ? r : err_move(err, &why);
        if (!told)
            log_warning(rq->config.log, "%s: waiting", why.text);
        told = true;
    }
}

static int64_t grace_us(const struct requester *rq, bool now)
{
    const int64_t set_s = rq->config.prune_grace_s ? rq->config.prune_grace_s : PRUNE_GRACE_S;

    return now || set_s < 0 ? 0 : set_s * 1000000;
}

int requester_prune(struct requester *rq, const struct requester_prune *job, json_t **ret, struct err *err)
{
    const struct store_prune o = { .dry_run = job->dry_run,
                                   .grace_us = grace_us(rq, job->now),
                                   .max_unused_percent = job->max_unused_percent,
                                   .cancel = rq->config.cancel,
                                   .progress = rq->config.progress };
    const struct patience patience = patience_begin(job->wait_ms);
    struct store_prune_result result = { 0 };

    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, job->dry_run ? KNOWN_REHEARSE : KNOWN_CHANGE, err);
    if (r >= 0)
        r = known_refuse_prune(rq, err);
    if (r >= 0 && !job->dry_run)
        r = known_finish(rq, err);
    if (r >= 0 && !job->dry_run)
        (void)known_sign(rq, STORE_ENTRY_ACCEPT, NULL);
    if (r >= 0)
        r = prune(rq, &o, &patience, &result, err);
    if (r >= 0 && !(*ret = prune_report(job, &result)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}

int requester_repair_index(struct requester *rq, bool read_data, json_t **ret, struct err *err)
{
    struct store_repair_result x = { 0 };

    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, KNOWN_TRUST, err);
    if (r >= 0)
        r = store_repair_index(rq->store, read_data, rq->config.cancel, &x, err);
    if (r >= 0 && !(*ret = json_pack("{s:I, s:I, s:I, s:I}", "packs", (json_int_t)x.packs, "chunks", (json_int_t)x.chunks, "packs_damaged",
                                     (json_int_t)x.packs_damaged, "chunks_lost", (json_int_t)x.chunks_lost)))
        r = err_nomem(err);
    if (r >= 0 && x.packs_damaged)
        rq->end = REQUESTER_DAMAGED;
    return job_end(rq, r, err);
}

int requester_repair_packs(struct requester *rq, bool read_data, json_t **ret, struct err *err)
{
    const struct store_prune o = { .mend = read_data ? STORE_MEND_ALL : STORE_MEND_FOOTERS,
                                   .grace_us = grace_us(rq, false),
                                   .cancel = rq->config.cancel,
                                   .progress = rq->config.progress };
    struct store_prune_result x = { 0 };

    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, KNOWN_TRUST, err);
    if (r >= 0)
        r = known_refuse_prune(rq, err);
    if (r >= 0)
        r = store_prune(rq->store, &o, &x, err);
    if (r >= 0 && !(*ret = json_pack("{s:I, s:I, s:I, s:I}", "packs", (json_int_t)x.packs, "packs_damaged", (json_int_t)x.packs_damaged,
                                     "packs_mended", (json_int_t)x.packs_mended, "chunks_lost", (json_int_t)x.chunks_lost)))
        r = err_nomem(err);
    if (r >= 0 && x.chunks_lost)
        rq->end = REQUESTER_DAMAGED;
    return job_end(rq, r, err);
}
