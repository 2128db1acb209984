/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/stage.h"
#include "base/guid.h"
#include "base/io.h"
#include "requester/effects.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct item {
    char *group, *target, *made, *kept; /* made NULL: a folder; kept: second name of the old file; NULL: there was none */
    uint64_t fx_made, fx_replaced;
    bool in_place;
};

struct stage {
    struct journal *journal;
    struct item **items;
    size_t n;
};

static void item_free(struct item *i)
{
    free(i->group);
    free(i->target);
    free(i->made);
    free(i->kept);
    free(i);
}
DEFINE_CLEANUP(struct item *, item_free)

int stage_new(struct journal *j, struct stage **ret, struct err *err)
{
    struct stage *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ENOMEM, "out of memory");
    s->journal = j;
    *ret = s;
    return 0;
}

void stage_free(struct stage *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        item_free(s->items[i]);
    free(s->items);
    free(s);
}

/* A hidden name beside target, not in use. */
static char *beside(const char *target, const char *what)
{
    _cleanup_free_ char *dir = io_dirname(target);
    struct guid id = guid_new();

    return dir ? str_format("%s/" IO_TEMPORARY_PREFIX "%s-%.13s", dir, what, id.text) : NULL;
}

static int enter(struct stage *s, const struct item *i, const char *verb, uint64_t *ret_id, struct err *err)
{
    bool replaced = !strcmp(verb, VERB_REPLACED_FILE);
    struct journal_arg args[4] = { { "path", replaced ? i->target : i->made }, { "group", i->group } };
    size_t n = 2;

    if (replaced && i->kept)
        args[n++] = (struct journal_arg){ "kept", i->kept };
    args[n] = (struct journal_arg){ NULL, NULL };
    return journal_begin(s->journal, verb, args, ret_id, err);
}

/* Room for one item more. */
static int grow(struct stage *s)
{
    struct item **more = realloc(s->items, (s->n + 1) * sizeof(*more));

    if (more)
        s->items = more;
    return more ? 0 : -ENOMEM;
}

static int done(struct stage *s, uint64_t id, struct err *err)
{
    int r = journal_done(s->journal, id);

    return r < 0 ? err_errno(err, -r, "a restored file is not as it should be") : 0;
}

int stage_add(struct stage *s, const char *group, const char *target, bool nofollow, const char **ret_path, struct err *err)
{
    _cleanup_(item_free_p) struct item *i = calloc(1, sizeof(*i));

    if (!i || grow(s) < 0 || !(i->group = strdup(group)) || !(i->target = nofollow ? strdup(target) : io_follow(target)) ||
        !(i->made = beside(i->target, "new")))
        return err_set(err, ENOMEM, "out of memory");
    int r = enter(s, i, VERB_STAGED_FILE, &i->fx_made, err);
    if (r < 0)
        return r;
    *ret_path = i->made;
    s->items[s->n++] = TAKE_PTR(i);
    return 0;
}

/* The first folder on the way to dir that is not there. Caller frees; *ret NULL: all are there. */
static int first_missing(const char *dir, char **ret)
{
    _cleanup_free_ char *at = strdup(dir), *missing = NULL;

    while (at && !io_exists(at)) {
        char *up = io_dirname(at);
        free(missing);
        missing = at;
        at = up;
    }
    *ret = TAKE_PTR(missing);
    return at ? 0 : -ENOMEM;
}

int stage_folder(struct stage *s, const char *group, const char *dir, mode_t mode, struct err *err)
{
    _cleanup_free_ char *top = NULL;
    if (first_missing(dir, &top) < 0)
        return err_set(err, ENOMEM, "out of memory");
    if (!top)
        return 0;
    _cleanup_(item_free_p) struct item *i = calloc(1, sizeof(*i));
    if (!i || !(i->group = strdup(group)) || !(i->target = strdup(dir)) || grow(s) < 0)
        return err_set(err, ENOMEM, "out of memory");
    const struct journal_arg args[] = { { "path", dir }, { "group", group }, { "top", top }, { NULL, NULL } };
    int r = journal_begin(s->journal, VERB_MADE_FOLDER, args, &i->fx_replaced, err);
    if (r < 0 || (r = io_mkdir_p(dir, mode, err)) < 0)
        return r;
    i->in_place = true;
    r = done(s, i->fx_replaced, err);
    s->items[s->n++] = TAKE_PTR(i);
    return r;
}

/* Gives the old file a second name. Where the file system knows no links, the first name goes for the moment. */
static int keep_old(const struct item *i, struct err *err)
{
    if (link(i->target, i->kept) == 0)
        return 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
        return err_errno(err, errno, "cannot keep the old %s as %s", i->target, i->kept);
    if (rename(i->target, i->kept) < 0)
        return err_errno(err, errno, "cannot move the old %s to %s", i->target, i->kept);
    return 0;
}

static int swap_in(struct stage *s, struct item *i, struct err *err)
{
    struct stat st;

    if (lstat(i->target, &st) == 0 && !(i->kept = beside(i->target, "old")))
        return err_set(err, ENOMEM, "out of memory");
    int r = enter(s, i, VERB_REPLACED_FILE, &i->fx_replaced, err);
    if (r >= 0 && i->kept)
        r = keep_old(i, err);
    if (r < 0)
        return r;
    if (rename(i->made, i->target) < 0)
        return err_errno(err, errno, "cannot put the restored %s into place", i->target);
    if ((r = done(s, i->fx_replaced, err)) < 0)
        return r;
    journal_settled(s->journal, i->fx_made);
    i->in_place = true;
    return io_fsync_parent(i->target, err);
}

int stage_made(struct stage *s, const char *path, struct err *err)
{
    for (size_t k = 0; k < s->n; k++)
        if (s->items[k]->made && !strcmp(s->items[k]->made, path))
            return done(s, s->items[k]->fx_made, err);
    return 0;
}

int stage_swap(struct stage *s, const char *group, struct err *err)
{
    for (size_t k = 0; k < s->n; k++) {
        struct item *i = s->items[k];
        int r = !strcmp(i->group, group) && !i->in_place ? swap_in(s, i, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int stage_finish(struct stage *s, const char *group, struct err *err)
{
    int first = 0;

    for (size_t k = 0; k < s->n; k++) {
        struct item *i = s->items[k];
        struct err why = ERR_INIT;
        if (!i->in_place || strcmp(i->group, group))
            continue;
        if (i->kept && io_unlink(i->kept, &why) < 0 && !first)
            first = err_move(err, &why);
        journal_settled(s->journal, i->fx_replaced);
    }
    return first;
}
