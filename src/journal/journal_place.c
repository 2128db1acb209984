/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and folders of effects, by what they are. A name alone proves nothing: the file system that held it may be unmounted for the
 * moment, its folder may have been moved, or somebody may have put another file there. So begin writes down the folder, done what was
 * made, and undo compares. Whatever cannot be found out is a failure, and the effect stays in the list. */
#include "base/buf.h"
#include "base/io.h"
#include "base/io_at.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "_dir"
#define MADE "_id"

static const char *arg_value(const struct journal_arg *args, const char *name)
{
    for (; args->name; args++)
        if (!strcmp(args->name, name) && *args->value)
            return args->value;
    return NULL;
}

static int place_folder_of(const char *path, struct io_id *ret, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int r = io_open_parent(path, &dir, &name, err);
    if (r >= 0 && (r = io_id_of(dir, ret)) < 0)
        err_errno(err, -r, "cannot access the folder of %s", path);
    return r;
}

static int place_add_folder(const char *place, struct journal_arg *args, size_t *n, struct err *err)
{
    _cleanup_free_ char *key = str_format("%s" FOLDER, place), *value = NULL;
    const char *path = arg_value(args, place);
    struct io_id id;

    if (!key)
        return err_nomem(err);
    if (!path || arg_value(args, key)) /* who has the folder open says itself which it is */
        return 0;
    int r = place_folder_of(path, &id, err);
    if (r < 0)
        return r;
    if (!(value = strdup(id.text)))
        return err_nomem(err);
    args[(*n)++] = (struct journal_arg){ TAKE_PTR(key), TAKE_PTR(value) };
    return 0;
}

int journal_add_folders(const struct journal_verb *verb, struct journal_arg *args, size_t *n, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < JOURNAL_PLACES_MAX && verb->places[i]; i++)
        r = place_add_folder(verb->places[i], args, n, err);
    return r;
}

/* What is in the place now, as this session has just made it. -ENOENT: there is nothing. */
static int place_look(const char *path, struct io_id *ret, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int r = io_open_parent(path, &dir, &name, err);
    if (r >= 0 && (r = io_id_at(dir, name, ret)) < 0)
        err_errno(err, -r, "cannot access %s", path);
    return r;
}

static int note_made(struct journal *j, struct journal_effect *e, const char *place, struct err *err)
{
    _cleanup_free_ char *value = str_format("%s" MADE, place), *path = NULL;
    struct io_id id;

    if (!value)
        return err_nomem(err);
    pthread_mutex_lock(&j->lock);
    const char *at = arg_value(e->args, place);
    if (at && !arg_value(e->args, value))
        path = strdup(at);
    pthread_mutex_unlock(&j->lock);
    int r = path ? place_look(path, &id, err) : -ENOENT;
    return r < 0 ? r : journal_note(j, e->id, value, id.text, err);
}

int journal_made(struct journal *j, uint64_t id, struct err *err)
{
    struct journal_effect *e = NULL;
    int r = 0;

    pthread_mutex_lock(&j->lock);
    if (id && id <= j->n && j->effects[id - 1]->state != EFFECT_SETTLED)
        e = j->effects[id - 1];
    pthread_mutex_unlock(&j->lock);
    for (size_t i = 0; e && i < JOURNAL_PLACES_MAX && e->verb->places[i]; i++) {
        struct err why = ERR_INIT;
        int rc = note_made(j, e, e->verb->places[i], &why);
        if (rc < 0 && rc != -ENOENT && r >= 0)
            r = err_move(err, &why);
    }
    return r;
}

void journal_place_close(struct journal_place *p)
{
    if (p->dir >= 0)
        close(p->dir);
    free(p->path);
    free(p->name);
    *p = (struct journal_place){ .dir = -1 };
}

int journal_place_open(const struct journal_effect *e, const char *value, struct journal_place *ret, struct err *err)
{
    const char *path = journal_value(e, value);
    _cleanup_free_ char *key = str_format("%s" FOLDER, value);
    struct io_id now;

    *ret = (struct journal_place){ .dir = -1 };
    if (!key || !path)
        return err_set(err, path ? ENOMEM : EINVAL, path ? "out of memory" : "the journal does not say which file is meant");
    const char *was = journal_value(e, key);
    if (was && io_id_is_lost(was))
        return 0;
    if (!(ret->path = strdup(path)))
        return err_nomem(err);
    int r = io_open_parent(path, &ret->dir, &ret->name, err);
    if (r >= 0 && (r = io_id_of(ret->dir, &now)) < 0)
        err_errno(err, -r, "cannot access the folder of %s", path);
    if (r < 0)
        return r;
    ret->proven = was != NULL;
    if (was && !io_id_same(was, now.text))
        return err_set(err, ESTALE,
                       "the folder of %s is not the one it was; its file system may not be mounted, or the folder was moved: once it is "
                       "back, run: kvss recover",
                       path);
    return 1;
}

int journal_find(const struct journal_place *p, const char *name, const char *id, struct err *err)
{
    struct io_id now;

    int r = io_id_at(p->dir, name, &now);
    if (r == -ENOENT)
        return JOURNAL_ABSENT;
    if (r < 0)
        return err_errno(err, -r, "cannot access %s next to %s", name, p->path);
    return !id ? JOURNAL_UNKNOWN : io_id_same(id, now.text) ? JOURNAL_SAME : JOURNAL_OTHERS;
}

int journal_left_alone(const char *path, struct err *err)
{
    err_set(err, EEXIST, "%s was not created by this session and was left alone", path);
    return 1;
}

int journal_place_find(const struct journal_effect *e, const char *value, struct journal_place *ret, struct err *err)
{
    _cleanup_free_ char *key = str_format("%s" MADE, value);

    int r = journal_place_open(e, value, ret, err);
    if (r <= 0)
        return r < 0 ? r : JOURNAL_ABSENT;
    return key ? journal_find(ret, ret->name, journal_value(e, key), err) : err_nomem(err);
}

int journal_remove_made(const struct journal_effect *e, const char *value, bool own_name, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };

    int r = journal_place_find(e, value, &p, err);
    if (r < 0 || r == JOURNAL_ABSENT)
        return r < 0 ? r : 0;
    if (r == JOURNAL_OTHERS || (r == JOURNAL_UNKNOWN && !own_name))
        return journal_left_alone(p.path, err);
    r = io_remove_tree_at(p.dir, p.name);
    if (r == -EXDEV)
        return err_set(err, EXDEV, "cannot remove %s: another file system is mounted below it", p.path);
    return r < 0 ? err_errno(err, -r, "cannot remove %s", p.path) : 0;
}
