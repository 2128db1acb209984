/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of effects in memory: entries, and what is asked of them. Read this first; then journal_file.c (the list on disk), journal.c
 * (what sessions call), undo.c, recover.c, watchdog.c. */
#include "journal/journal_internal.h"
#include <errno.h>
#include <string.h>

static void args_free(struct journal_arg *args)
{
    for (struct journal_arg *a = args; a && a->name; a++) {
        free((char *)a->name);
        free((char *)a->value);
    }
    free(args);
}

void journal_entry_free(struct journal_effect *e)
{
    args_free(e->args);
    free(e->note);
    free(e->told);
    free(e);
}

static const struct journal_verb *find_verb(const struct journal *j, const char *name)
{
    for (const struct journal_verb *v = j->verbs; v->name; v++)
        if (!strcmp(v->name, name))
            return v;
    return NULL;
}

/* With room for the folders of its places. */
static struct journal_arg *copy_args(const struct journal_arg *args, size_t *ret_n)
{
    size_t n = 0;
    while (args && args[n].name)
        n++;
    struct journal_arg *copy = calloc(n + JOURNAL_PLACES_MAX + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++) {
        copy[i].value = strdup(args[i].value ? args[i].value : "");
        copy[i].name = strdup(args[i].name);
        if (!copy[i].name || !copy[i].value) {
            free((char *)copy[i].value);
            copy[i].value = NULL;
            args_free(copy);
            return NULL;
        }
    }
    *ret_n = n;
    return copy;
}

/* The effect, not entered yet. looked: its places are looked at. */
int journal_entry_make(struct journal *j, const char *verb, const struct journal_arg *args, bool look, struct journal_effect **ret,
                       struct err *err)
{
    const struct journal_verb *v = find_verb(j, verb);
    size_t n;

    if (!v)
        return err_set(err, EINVAL, "journal: unknown verb \"%s\"", verb);
    _cleanup_(journal_entry_free_p) struct journal_effect *e = calloc(1, sizeof(*e));
    if (!e || !(e->args = copy_args(args, &n)))
        return err_nomem(err);
    e->verb = v;
    int r = look ? journal_add_folders(v, e->args, &n, err) : 0;
    if (r >= 0)
        *ret = TAKE_PTR(e);
    return r;
}

/* Puts the effect in the list, which owns it then. Called with the lock held. */
int journal_entry_append(struct journal *j, struct journal_effect *e, struct err *err)
{
    if (j->n == j->cap) {
        size_t cap = j->cap ? 2 * j->cap : 16;
        struct journal_effect **more = reallocarray(j->effects, cap, sizeof(*more));
        if (!more)
            return err_nomem(err);
        j->effects = more;
        j->cap = cap;
    }
    e->id = j->n + 1;
    j->effects[j->n++] = e;
    return 0;
}

int journal_enter_loaded(struct journal *j, const char *verb, const struct journal_arg *args, struct err *err)
{
    _cleanup_(journal_entry_free_p) struct journal_effect *e = NULL;

    int r = journal_entry_make(j, verb, args, false, &e, err);
    if (r < 0)
        return r;
    e->inherited = true;
    SCOPED_LOCK(&j->lock);
    r = journal_entry_append(j, e, err);
    if (r == 0)
        (void)TAKE_PTR(e);
    return r;
}

int journal_entry_add_value(struct journal_effect *e, const char *name, const char *value)
{
    size_t n = 0;
    while (e->args[n].name)
        n++;
    struct journal_arg *more = reallocarray(e->args, n + 2, sizeof(*more));
    if (!more)
        return -ENOMEM;
    e->args = more;
    more[n] = (struct journal_arg){ strdup(name), strdup(value) };
    more[n + 1] = (struct journal_arg){ NULL, NULL };
    if (more[n].name && more[n].value)
        return 0;
    free((char *)more[n].name);
    free((char *)more[n].value);
    more[n] = (struct journal_arg){ NULL, NULL };
    return -ENOMEM;
}

void journal_state_loaded(struct journal *j, uint64_t id, enum effect_state state)
{
    SCOPED_LOCK(&j->lock);
    if (id && id <= j->n && j->effects[id - 1]->state < state)
        j->effects[id - 1]->state = state;
}

void journal_settle_all(struct journal *j)
{
    SCOPED_LOCK(&j->lock);
    for (size_t i = 0; i < j->n; i++)
        j->effects[i]->state = EFFECT_SETTLED;
}

size_t journal_worth_again(struct journal *j, const char *verb)
{
    size_t n = 0;

    SCOPED_LOCK(&j->lock);
    for (size_t i = 0; i < j->n; i++) {
        const struct journal_effect *e = j->effects[i];
        n += e->state != EFFECT_SETTLED && ((e->verb->holds && e->failed) || (verb && !strcmp(e->verb->name, verb)));
    }
    return n;
}

size_t journal_open_effects(struct journal *j)
{
    size_t n = 0;

    SCOPED_LOCK(&j->lock);
    for (size_t i = 0; i < j->n; i++)
        n += j->effects[i]->state != EFFECT_SETTLED;
    return n;
}

bool journal_is_done(const struct journal_effect *e)
{
    return e->state != EFFECT_BEGUN;
}

bool journal_is_inherited(const struct journal_effect *e)
{
    return e->inherited;
}

const char *journal_verb_name(const struct journal_effect *e)
{
    return e->verb->name;
}

const char *journal_value(const struct journal_effect *e, const char *name)
{
    for (const struct journal_arg *a = e->args; a->name; a++)
        if (!strcmp(a->name, name))
            return a->value;
    return NULL;
}
