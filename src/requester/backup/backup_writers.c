/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of the writers that are programs take part. Those that do not get no event at all. */
#include "requester/backup/backup.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

/* By its name, its id or its file. */
static bool is_called(const struct command_writer_info *w, const char *name)
{
    const char *slash = strrchr(w->path, '/');

    return !strcasecmp(w->name, name) || !strcasecmp(w->id, name) || !strcmp(slash ? slash + 1 : w->path, name);
}

static bool is_wanted(const struct command_writer_info *w, char *const *names)
{
    for (char *const *n = names; *n; n++)
        if (is_called(w, *n))
            return true;
    return false;
}

static int no_such_writer(const struct command_writers *writers, const char *name, struct err *err)
{
    size_t n = command_writers_count(writers);
    _cleanup_free_ const char **names = calloc(n + 1, sizeof(*names));

    for (size_t i = 0; names && i < n; i++)
        names[i] = command_writer_get(writers, i).name;
    const char *like = names ? text_similar(name, names, n) : NULL;
    return err_set(err, ENOENT, "unknown writer '%s'%s%s%s (kvss list writers shows the writers)", name, like ? "; did you mean '" : "",
                   like ? like : "", like ? "'?" : "");
}

static int writers_check_names(const struct command_writers *writers, char *const *names, struct err *err)
{
    for (char *const *n = names; *n; n++) {
        bool found = false;
        for (size_t i = 0; i < command_writers_count(writers) && !found; i++) {
            struct command_writer_info w = command_writer_get(writers, i);
            found = is_called(&w, *n);
        }
        if (!found && strcasecmp(*n, VM_WRITER_NAME) && strcasecmp(*n, VM_WRITER_ID)) /* which always takes part */
            return no_such_writer(writers, *n, err);
    }
    return 0;
}

/* Their programs are not even asked who they are: what they are called is not known. */
static int leave_out_all(struct backup *b, struct err *err)
{
    const char *dir = b->rq->config.writers_dir;
    _cleanup_strv_ char **names = NULL;

    if (command_writers_programs(dir ? dir : REQUESTER_WRITERS_DIR, &names, NULL) < 0)
        return 0;
    for (char **n = names; n && *n; n++)
        if (json_array_append_new(b->left_out, json_text(*n)) < 0)
            return err_nomem(err);
    return 0;
}

int backup_choose_writers(struct backup *b, struct err *err)
{
    const struct command_writers *writers = b->s->commands;
    char *const *names = b->job->writers;

    if (!(b->left_out = json_array()))
        return err_nomem(err);
    if (b->job->no_writers)
        return leave_out_all(b, err);
    if (!names || !*names)
        return 0;
    int r = writers_check_names(writers, names, err);
    for (size_t i = 0; i < command_writers_count(writers) && r >= 0; i++) {
        struct command_writer_info w = command_writer_get(writers, i);
        if (is_wanted(&w, names))
            continue;
        r = vss_disable_writer_class(b->s->vss, w.id, err);
        if (r >= 0 && json_array_append_new(b->left_out, json_text(w.name)) < 0)
            r = err_nomem(err);
    }
    return r;
}
