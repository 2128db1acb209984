/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Undo and finish: groups side by side, within a group last first. */
#include "base/par.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <string.h>

/* The open effects of one group, last first. */
struct undo_group {
    const char *name; /* NULL: effects without a group */
    struct journal_effect **effects;
    size_t n;
};

struct undo_plan {
    struct journal *j;
    struct undo_group *groups;
    size_t n;
};

static int undo_effect(struct journal *j, struct journal_effect *e, struct err *err)
{
    struct err why = ERR_INIT;

    const char *what = e->committed ? "finish" : "undo";
    log_debug(j->log, "%s %s (effect %llu of session %s)", what, e->verb->name, (unsigned long long)e->id, j->session_id);
    int r = journal_fault(j, e->verb, FAULT_UNDO, &why);
    if (r >= 0 && (!e->committed || e->verb->finish))
        r = (e->committed ? e->verb->finish : e->verb->undo)(j->ctx, e, &why);
    e->failed = r < 0 ? r : 0;
    if (r < 0) {
        if (!e->told || strcmp(e->told, why.text) != 0)
            log_error(j->log, "cannot %s %s: %s", what, e->verb->name, why.text);
        free(e->told);
        e->told = strdup(why.text);
        return err_move(err, &why);
    }
    if (r > 0) {
        log_warning(j->log, "%s", why.text);
        e->note = strdup(why.text);
    }
    /* On disk, so that after a crash of the host nothing is undone a second time that others rely on by then. */
    journal_settle(j, e->id, true);
    return 0;
}

static int undo_group(void *ctx, size_t i, struct err *err)
{
    struct undo_plan *plan = ctx;
    int first = 0;

    for (size_t k = 0; k < plan->groups[i].n; k++) {
        struct journal_effect *e = plan->groups[i].effects[k];
        struct err why = ERR_INIT;
        if (first && e->verb->in_order && !e->committed)
            continue;
        int r = undo_effect(plan->j, e, &why);
        if (r < 0 && !first)
            first = err_move(err, &why);
    }
    return first;
}

static void undo_plan_clear(struct undo_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++)
        free(plan->groups[i].effects);
    free(plan->groups);
}

static struct undo_group *plan_group(struct undo_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n; i++) {
        const char *have = plan->groups[i].name;
        if (have == name || (have && name && !strcmp(have, name)))
            return &plan->groups[i];
    }
    struct undo_group *g = &plan->groups[plan->n];
    g->effects = calloc(plan->j->n, sizeof(struct journal_effect *));
    if (!g->effects)
        return NULL;
    g->name = name;
    plan->n++;
    return g;
}

static bool undo_matches(const struct journal_effect *e, const struct journal_filter *f)
{
    return !f || !strcmp(e->verb->name, f->verb) || (f->holds && e->verb->holds);
}

/* Sorts the open effects that are meant into groups, or takes those without a group. */
static int plan_make(struct undo_plan *plan, bool grouped, const struct journal_filter *which)
{
    struct journal *j = plan->j;

    SCOPED_LOCK(&j->lock);
    plan->groups = calloc(j->n ? j->n : 1, sizeof(*plan->groups));
    if (!plan->groups)
        return -ENOMEM;
    for (size_t i = j->n; i-- > 0;) {
        struct journal_effect *e = j->effects[i];
        const char *name = journal_value(e, "group");
        if (e->state == EFFECT_SETTLED || !!name != grouped || !undo_matches(e, which) || (e->verb->for_heirs && !e->inherited))
            continue;
        struct undo_group *g = plan_group(plan, name);
        if (!g)
            return -ENOMEM;
        g->effects[g->n++] = e;
    }
    return 0;
}

static int undo_groups(struct journal *j, bool grouped, const struct journal_filter *which, struct err *err)
{
    _cleanup_(undo_plan_clear) struct undo_plan plan = { .j = j };

    if (plan_make(&plan, grouped, which) < 0)
        return err_nomem(err);
    return par_each(plan.n, 0, undo_group, &plan, err);
}

int journal_undo_some(struct journal *j, const struct journal_filter *which, struct err *err)
{
    struct err second = ERR_INIT;

    SCOPED_LOCK(&j->undo_lock);
    int r = undo_groups(j, true, which, err);
    int r2 = undo_groups(j, false, which, &second);
    if (r2 < 0 && r >= 0)
        r = err_move(err, &second);
    return r;
}

int journal_undo_all(struct journal *j, struct err *err)
{
    journal_watch_undoing(j);
    return journal_undo_some(j, NULL, err);
}

int journal_undo(struct journal *j, uint64_t id, struct err *err)
{
    struct journal_effect *e = NULL;

    SCOPED_LOCK(&j->undo_lock);
    pthread_mutex_lock(&j->lock);
    if (id && id <= j->n && j->effects[id - 1]->state != EFFECT_SETTLED)
        e = j->effects[id - 1];
    pthread_mutex_unlock(&j->lock);
    return e ? undo_effect(j, e, err) : 0;
}
