/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deleting packs that no index names, as soon as nobody can count on them. */
#include "base/clock.h"
#include "store/index/index.h"
#include "store/prune/prune_internal.h"
#include "store/reach/reach.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct collecting {
    struct pruning *p;
    struct names indexed; /* packs that the index names now */
    struct lock *others;  /* sessions that are live now */
    size_t others_n;
    struct names sessions; /* their names */
    int64_t now_us;        /* by the backend's clock; 0: unknown */
    struct names doomed;   /* packs to delete now */
    struct names later;    /* packs that became garbage now and wait for `sessions` */
    struct names *kept;    /* per old record: its packs that still wait */
};

static int collect_look_at_sessions(struct collecting *c, struct err *err)
{
    struct env *env = &c->p->store->env;
    const bool dry_run = c->p->options->dry_run;

    /* A dry run has no lock, which would tell the storage's time. */
    c->now_us = dry_run ? clock_wall_us() : session_now(c->p->session);
    int r = dry_run ? session_look(env, LOCK_MAINTENANCE, &c->others, &c->others_n, err)
                    : session_others(c->p->session, &c->others, &c->others_n, err);
    for (size_t i = 0; r == 0 && i < c->others_n; i++)
        if (names_add(&c->sessions, &c->others[i].name) < 0)
            r = err_nomem(err);
    names_sort(&c->sessions);
    return r;
}

/* Who runs, then what the index names, in this order: whoever has ended by then has saved its index. */
static int collect_look(struct collecting *c, struct err *err)
{
    struct store *s = c->p->store;
    int r = collect_look_at_sessions(c, err);

    if (r == 0)
        r = index_reload(s->index, NULL, err);
    if (r < 0)
        return r;
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(s->index);
    return index_set_packs(set, &c->indexed, err);
}

static bool any_running(const struct collecting *c, const struct names *sessions)
{
    for (size_t i = 0; i < sessions->n; i++)
        if (names_has(&c->sessions, &sessions->list[i]))
            return true;
    return false;
}

/* Whether a pack has been garbage for as long as it has to be. It is then not what a restore point needs that was only out of sight. A time
 * in the future, or none, says nothing. */
static bool is_due(const struct collecting *c, const struct garbage_record *record, bool *ret_dated)
{
    int64_t grace = c->p->options->grace_us, since = record ? record->since_us : 0;

    *ret_dated = since > 0 && c->now_us > 0 && since <= c->now_us;
    return grace <= 0 || (*ret_dated && c->now_us - since >= grace);
}

static void wait_until(struct collecting *c, int64_t since_us)
{
    int64_t at = clock_wall_us() + since_us + c->p->options->grace_us - c->now_us;

    if (c->now_us && (c->p->result.later_us == 0 || at < c->p->result.later_us))
        c->p->result.later_us = at;
}

/* Sorts one pack that is not indexed into doomed or waiting. One that was indexed when this prune began became garbage just
 * now, whatever an old record says. */
static int sort_out(struct collecting *c, const struct pack_use *u)
{
    const struct garbage_record *record = u->indexed ? NULL : garbage_find(&c->p->garbage, &u->name);
    struct names *where = &c->later;
    /* One that is damaged and was written again has nothing that could be read in no other place, as far as anybody knows. */
    bool dated, due = is_due(c, record, &dated) || u->plan == PLAN_MEND;
    bool free = c->sessions.n == 0 || (record && !any_running(c, &record->sessions));

    if (free && due)
        where = &c->doomed;
    else if (record && (due || dated))
        where = &c->kept[record - c->p->garbage.records];
    if (!due)
        wait_until(c, dated ? record->since_us : c->now_us);
    if (where != &c->doomed)
        c->p->result.bytes_later += u->size;
    return names_add(where, &u->name);
}

static int sort_all(struct collecting *c, struct err *err)
{
    struct pruning *p = c->p;

    c->kept = calloc(p->garbage.n + 1, sizeof *c->kept);
    int r = c->kept ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < p->packs_n; i++)
        if (!names_has(&c->indexed, &p->packs[i].name))
            r = sort_out(c, &p->packs[i]);
    return r < 0 ? err_errno(err, -r, "cannot keep track of unused packs") : 0;
}

/* Points made since the survey, by sessions that ran then. If one needs a pack that is to go, now or later, none goes this time. */
static int look_at_new_points(struct collecting *c, bool *ret_needed, struct err *err)
{
    struct pruning *p = c->p;
    _cleanup_mark_ struct mark mark = { 0 };
    _cleanup_free_ struct chunk_id *ids = NULL;
    size_t n, fresh = 0;
    int r = point_list(&p->store->env, &ids, &n, err);

    for (size_t i = 0; r == 0 && i < n; i++) {
        bool old = false;
        for (size_t k = 0; k < p->points_n && !old; k++)
            old = memcmp(&p->points[k], &ids[i], sizeof ids[i]) == 0;
        if (!old)
            ids[fresh++] = ids[i];
    }
    if (r < 0 || fresh == 0)
        return r;
    r = mark_new(p->store, p->options->cancel, &mark, err);
    if (r == 0)
        r = mark_points(&mark, ids, fresh, err);
    *ret_needed = r == -EUCLEAN;
    return r == -EUCLEAN ? 0 : r;
}

static int collect_adopt_all(struct store *s, const struct names *packs, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < packs->n; i++)
        r = store_adopt_pack(s, &packs->list[i], err);
    return r;
}

static int adopt_garbage(struct collecting *c, struct err *err)
{
    struct store *s = c->p->store;

    log_info(s->env.log, "a restore point created in the meantime uses packs that were about to be removed; they are kept");
    int r = collect_adopt_all(s, &c->doomed, err);
    if (r == 0)
        r = collect_adopt_all(s, &c->later, err);
    names_free(&c->doomed);
    names_free(&c->later);
    c->p->result.bytes_later = 0;
    c->p->result.later_us = 0;
    return r == 0 ? index_save(s->index, err) : r;
}

/* New records before old ones go: a crash in between leaves packs named twice, which is harmless. */
static int write_records(struct collecting *c, struct err *err)
{
    struct env *env = &c->p->store->env;
    const struct garbage_record later = { .packs = c->later, .sessions = c->sessions, .since_us = c->now_us };
    int r = garbage_put(env, &later, err);

    for (size_t i = 0; r == 0 && i < c->p->garbage.n; i++) {
        const struct garbage_record *old = &c->p->garbage.records[i];
        const struct garbage_record kept = { .packs = c->kept[i], .sessions = old->sessions, .since_us = old->since_us };
        r = garbage_put(env, &kept, err);
    }
    return r == 0 ? garbage_drop(env, &c->p->garbage, err) : r;
}

/* A pack that was written again has its chunks in use elsewhere now. */
static void count_doomed(struct collecting *c, const struct object_name *name)
{
    const struct pack_use *u = prune_pack(c->p, name);

    c->p->result.packs_deleted++;
    c->p->result.bytes_freed += u->size - (u->plan == PLAN_REPACK || u->plan == PLAN_MEND ? prune_used_bytes(u) : 0);
}

static void tell_who_is_waited_for(struct collecting *c)
{
    if (c->p->result.bytes_later && c->others_n)
        lock_owner(&c->others[0], c->p->result.waits_for, sizeof c->p->result.waits_for);
}

static int delete_doomed(struct collecting *c, struct err *err)
{
    char path[OBJECT_PATH_SIZE];

    for (size_t i = 0; i < c->doomed.n; i++) {
        int r = i % 64 == 0 ? session_still_ours(c->p->session, err) : 0;
        if (r == 0)
            r = backend_del(c->p->store->env.backend, object_name_path("packs", &c->doomed.list[i], path), err);
        if (r < 0)
            return r;
        count_doomed(c, &c->doomed.list[i]);
    }
    return 0;
}

static int collect_collect(struct collecting *c, struct err *err)
{
    bool needed = false;
    int r = collect_look(c, err);

    if (r == 0)
        r = sort_all(c, err);
    if (r == 0 && (c->doomed.n || c->later.n))
        r = look_at_new_points(c, &needed, err);
    if (r == 0 && needed)
        r = adopt_garbage(c, err);
    if (r == 0)
        r = write_records(c, err);
    if (r == 0)
        r = delete_doomed(c, err);
    if (r == 0)
        tell_who_is_waited_for(c);
    return r;
}

static void collect_clear(struct collecting *c)
{
    for (size_t i = 0; c->kept && i < c->p->garbage.n; i++)
        names_free(&c->kept[i]);
    free(c->kept);
    free(c->others);
    names_free(&c->indexed);
    names_free(&c->sessions);
    names_free(&c->doomed);
    names_free(&c->later);
}

int prune_collect(struct pruning *p, struct err *err)
{
    struct collecting c = { .p = p };
    int r = collect_collect(&c, err);

    collect_clear(&c);
    return r;
}

int prune_foresee(struct pruning *p, struct err *err)
{
    struct collecting c = { .p = p };
    int r = collect_look_at_sessions(&c, err);

    for (size_t i = 0; r == 0 && i < p->packs_n; i++) /* what the new index would name */
        if (p->packs[i].indexed && p->packs[i].plan == PLAN_KEEP && names_add(&c.indexed, &p->packs[i].name) < 0)
            r = err_nomem(err);
    names_sort(&c.indexed);
    if (r == 0)
        r = sort_all(&c, err);
    for (size_t i = 0; r == 0 && i < c.doomed.n; i++)
        count_doomed(&c, &c.doomed.list[i]);
    tell_who_is_waited_for(&c);
    collect_clear(&c);
    return r;
}
