/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal/journal_internal.h"
#include <errno.h>
#include <string.h>

bool journal_tries_on(struct journal *j)
{
    return j && journal_worth_again(j, NULL) > 0;
}

/* Something was not answered in time: for whoever tries again it takes that time too. */
static bool is_unanswered(const struct journal *j)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->effects[i]->state != EFFECT_SETTLED && (j->effects[i]->failed == -ETIMEDOUT || j->effects[i]->failed == -EINTR))
            return true;
    return false;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    /* The file first: with its lock gone the watchdog can take over what is still open; without open effects there is nothing. */
    bool settled = journal_open_effects(j) == 0;
    journal_file_close(j->file, settled);
    journal_watch_end(j->watch, !is_unanswered(j));
    for (size_t i = 0; i < j->n; i++)
        journal_entry_free(j->effects[i]);
    free(j->effects);
    journal_fault_free(j->fault);
    free(j->session_id);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->undo_lock);
    free(j);
}

int journal_make(const char *session_id, const struct journal_verb *verbs, void *ctx, const struct log *log, struct journal **ret,
                 struct err *err)
{
    struct journal *j = calloc(1, sizeof(*j));

    if (!j || !(j->session_id = strdup(session_id))) {
        free(j);
        return err_nomem(err);
    }
    j->verbs = verbs;
    j->ctx = ctx;
    j->log = log;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->undo_lock, NULL);
    *ret = j;
    return 0;
}

int journal_new(const char *dir, const char *session_id, const struct journal_verb *verbs, void *ctx, const struct log *log,
                struct journal **ret, struct err *err)
{
    struct journal *j;

    int r = journal_make(session_id, verbs, ctx, log, &j, err);
    if (r < 0)
        return r;
    r = dir ? journal_file_create(dir, session_id, &j->file, err) : 0;
    if (r >= 0)
        r = journal_fault_arm(j, err);
    if (r < 0) {
        journal_free(j); /* and the folder, in which there is nothing */
        return r;
    }
    *ret = j;
    return 0;
}

/* Takes over the effect. */
static int journal_enter(struct journal *j, struct journal_effect *effect, uint64_t *ret_id, struct err *err)
{
    _cleanup_(journal_entry_free_p) struct journal_effect *e = effect;

    SCOPED_LOCK(&j->lock);
    int r = journal_entry_append(j, e, err);
    if (r < 0)
        return r;
    (void)TAKE_PTR(e);
    if (j->file && (r = journal_file_begin(j->file, effect, err)) < 0) {
        effect->state = EFFECT_SETTLED; /* it will not happen */
        return err_context(err, "cannot write the journal of this session");
    }
    *ret_id = effect->id;
    return 0;
}

int journal_begin(struct journal *j, const char *verb, const struct journal_arg *args, uint64_t *ret_id, struct err *err)
{
    struct journal_effect *e;

    int r = journal_entry_make(j, verb, args, true, &e, err);
    if (r < 0)
        return r;
    const struct journal_verb *v = e->verb;
    r = journal_enter(j, e, ret_id, err);
    return r < 0 ? r : journal_fault(j, v, FAULT_BEGIN, err);
}

int journal_note(struct journal *j, uint64_t id, const char *name, const char *value, struct err *err)
{
    SCOPED_LOCK(&j->lock);
    if (!id || id > j->n)
        return 0;
    int r = j->file ? journal_file_note(j->file, id, name, value, err) : 0;
    if (r < 0)
        return err_context(err, "cannot write the journal of this session");
    return journal_entry_add_value(j->effects[id - 1], name, value) < 0 ? err_nomem(err) : 0;
}

static void set_state(struct journal *j, uint64_t id, enum effect_state state, bool durable)
{
    SCOPED_LOCK(&j->lock);
    if (!id || id > j->n || j->effects[id - 1]->state >= state)
        return;
    j->effects[id - 1]->state = state;
    /* Not written: the effect is undone once more than needed if this process dies, which is harmless. */
    if (j->file)
        (void)journal_file_state(j->file, id, state, durable, NULL);
}

/* An effect is at this step, unless there is no such effect or it has been there before. */
static int pass(struct journal *j, uint64_t id, enum fault_when when, enum effect_state state, struct err *err)
{
    const struct journal_verb *verb = NULL;

    pthread_mutex_lock(&j->lock);
    if (id && id <= j->n && j->effects[id - 1]->state < state)
        verb = j->effects[id - 1]->verb;
    pthread_mutex_unlock(&j->lock);
    return verb ? journal_fault(j, verb, when, err) : 0;
}

int journal_done(struct journal *j, uint64_t id)
{
    struct err unknown = ERR_INIT; /* then the undo has its name alone to go by */

    (void)journal_made(j, id, &unknown);
    int r = pass(j, id, FAULT_DONE, EFFECT_DONE, NULL);

    if (r >= 0)
        set_state(j, id, EFFECT_DONE, false);
    return r;
}

/* Not below "settled" itself: whoever finds it so may rely on it. */
void journal_settle(struct journal *j, uint64_t id, bool durable)
{
    const struct journal_verb *verb = NULL;

    (void)pass(j, id, FAULT_SETTLED, EFFECT_SETTLED, NULL);
    pthread_mutex_lock(&j->lock);
    if (id && id <= j->n && j->effects[id - 1]->state < EFFECT_SETTLED)
        verb = j->effects[id - 1]->verb;
    pthread_mutex_unlock(&j->lock);
    set_state(j, id, EFFECT_SETTLED, durable);
    if (verb)
        (void)journal_fault(j, verb, FAULT_AFTER, NULL);
}

void journal_settled(struct journal *j, uint64_t id)
{
    journal_settle(j, id, false);
}

static const struct journal_verb commit_step = { .name = "commit" }; /* for tests it is a step as others are */

void journal_settle_lasting(struct journal *j)
{
    (void)journal_fault(j, &commit_step, FAULT_DONE, NULL);
    for (uint64_t id = 1; id <= j->n; id++)
        if (j->effects[id - 1]->verb->lasting)
            journal_settle(j, id, true);
}

static bool is_of_group(const struct journal_effect *e, const char *group)
{
    const char *have = journal_value(e, "group");

    return have && !strcmp(have, group);
}

static int journal_journal_commit(struct journal *j, const char *group, struct err *err)
{
    SCOPED_LOCK(&j->lock);
    int r = j->file ? journal_file_commit(j->file, group, err) : 0;
    if (r < 0)
        return err_context(err, "cannot write the journal of this session");
    for (size_t i = 0; i < j->n; i++)
        j->effects[i]->committed = j->effects[i]->committed || is_of_group(j->effects[i], group);
    return 0;
}

int journal_step_begins(struct journal *j, const char *name, struct err *err)
{
    return journal_fault(j, &(struct journal_verb){ .name = name }, FAULT_BEGIN, err);
}

int journal_step_done(struct journal *j, const char *name, struct err *err)
{
    return journal_fault(j, &(struct journal_verb){ .name = name }, FAULT_DONE, err);
}

int journal_commit(struct journal *j, const char *group, struct err *err)
{
    int r = journal_fault(j, &commit_step, FAULT_BEGIN, err);
    if (r < 0 || (r = journal_journal_commit(j, group, err)) < 0)
        return r;
    (void)journal_fault(j, &commit_step, FAULT_DONE, NULL);
    return 0;
}
