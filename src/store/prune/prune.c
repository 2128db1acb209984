/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing what no point uses, beside running backups. docs/format.md, "Pruning". The order matters:
 *   1. mark what is used;  2. copy what is used out of packs that are mostly unused;
 *   3. publish an index that no longer names the packs to go: sessions that begin now cannot come to rely on them;
 *   4. delete those packs once the sessions that began before have ended, after a look at the points these have made. */
#include "store/index/index.h"
#include "store/keep/protect.h"
#include "store/prune/prune_internal.h"
#include <errno.h>
#include <string.h>

#define MAX_UNUSED_DEFAULT 20
#define SMALL_PACK ((uint64_t)4 << 20)
#define SMALL_PACKS 8 /* so many small packs are put together */
#define TABLES_MAX 8  /* so many index files are merged */

static void plan_one(struct pack_use *u, unsigned max_unused, bool merge_small)
{
    if (!u->indexed)
        u->plan = PLAN_KEEP; /* not this step's concern: prune_collect() */
    else if (u->used == 0)
        u->plan = PLAN_DROP;
    else if (u->damaged)
        u->plan = PLAN_MEND;
    else if ((u->raw - u->used) * 100 > u->raw * max_unused || (merge_small && u->size < SMALL_PACK))
        u->plan = PLAN_REPACK;
}

uint64_t prune_used_bytes(const struct pack_use *u)
{
    return u->raw ? (uint64_t)((double)u->size * (double)u->used / (double)u->raw) : 0;
}

void prune_plan(struct pruning *p)
{
    bool mend = p->options->mend != STORE_MEND_ENDS; /* and nothing else */
    unsigned max_unused = mend ? 100 : p->options->max_unused_percent ? p->options->max_unused_percent : MAX_UNUSED_DEFAULT;
    struct store_prune_result *r = &p->result;
    size_t small = 0;

    for (size_t i = 0; i < p->packs_n; i++)
        small += p->packs[i].indexed && p->packs[i].used && p->packs[i].size < SMALL_PACK;
    for (size_t i = 0; i < p->packs_n; i++) {
        struct pack_use *u = &p->packs[i];
        plan_one(u, max_unused, !mend && small >= SMALL_PACKS);
        uint64_t used = prune_used_bytes(u);
        r->packs++;
        r->bytes_used += used;
        r->bytes_unused += u->size - used;
        r->packs_repacked += u->plan == PLAN_REPACK;
    }
}

/* Whether entries of the old index go into the new one. */
static bool keep_entry(void *priv, const struct index_entry *e)
{
    const struct pruning *p = priv;
    const struct pack_use *u = prune_pack(p, &e->at.pack);

    return u && u->plan == PLAN_KEEP && !lost_packs_has(p->mark.set->lost, &e->at);
}

static bool anything_to_publish(const struct pruning *p)
{
    if (p->mark.set->lost || p->mark.set->n > TABLES_MAX || p->mark.set->present_n > p->mark.set->n)
        return true;
    for (size_t i = 0; i < p->packs_n; i++)
        if (p->packs[i].plan != PLAN_KEEP)
            return true;
    return false;
}

int prune_publish(struct pruning *p, struct err *err)
{
    _cleanup_free_ struct index_entry *fresh = NULL;
    struct store *s = p->store;
    size_t n;

    if (!anything_to_publish(p))
        return 0;
    int r = index_unsaved_list(s->index, &fresh, &n, err);
    if (r == 0)
        r = session_still_ours(p->session, err);
    if (r < 0)
        return r;
    struct index_merge m = { &s->env, p->mark.set, fresh, n, keep_entry, p };
    r = index_merge(&m, NULL, err);
    if (r == 0)
        r = index_reload(s->index, NULL, err);
    if (r == 0)
        index_saved(s->index, fresh, n);
    return r;
}

static int prune_run(struct pruning *p, struct err *err)
{
    int r = prune_survey(p, err);

    if (r == 0)
        r = protect_all_there(p->store, p->points, p->points_n, err);
    if (r == 0)
        r = prune_find_damaged(p, err);
    if (r < 0)
        return r;
    prune_plan(p);
    if (p->options->dry_run)
        return prune_foresee(p, err);
    r = prune_repack(p, err);
    if (r == 0)
        r = prune_mend(p, err);
    if (r == 0)
        r = prune_publish(p, err);
    return r == 0 ? prune_collect(p, err) : r;
}

int store_prune(struct store *s, const struct store_prune *options, struct store_prune_result *ret, struct err *err)
{
    struct pruning p = { .store = s, .options = options };
    int r = options->dry_run ? session_look(&s->env, LOCK_MAINTENANCE, NULL, NULL, err)
                             : store_begin(s, LOCK_MAINTENANCE, "prune", &p.session, err);

    if (r == 0)
        r = prune_run(&p, err);
    session_end(p.session);
    mark_free(&p.mark);
    garbage_free(&p.garbage);
    free(p.points);
    free(p.packs);
    if (r < 0)
        return err_context(err, "cannot prune the repository %s", s->location);
    *ret = p.result;
    return 0;
}
