/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions whose owner has died: their effects are undone by whoever comes next. */
#include "base/buf.h"
#include "base/io.h"
#include "base/strv.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <string.h>

DEFINE_CLEANUP(struct journal *, journal_free)

/* The list as it was on disk. From here on it is written to again, so that a recovery that dies is recovered in turn. */
static int recover_load(const char *dir, const char *session, const struct journal_verb *verbs, void *ctx, const struct log *log,
                        struct journal **ret, struct err *err)
{
    _cleanup_(journal_free_p) struct journal *j = NULL;
    struct journal_file *file = NULL;

    int r = journal_make(session, verbs, ctx, log, &j, err);
    if (r < 0 || (r = journal_file_take(dir, session, &file, err)) < 0)
        return r;
    journal_file_mark(file, JOURNAL_ORPHAN);
    r = journal_file_load(file, j, err);
    if (r < 0) {
        journal_file_close(file, false);
        return r;
    }
    j->file = file;
    *ret = TAKE_PTR(j);
    return 0;
}

/* "VM web: its checkpoint is gone (kvss-...)". NULL: out of memory. */
static char *recover_in_words(const struct journal_effect *e)
{
    const char *vm = journal_value(e, "vm"), *what = journal_value(e, "path"), *text = e->verb->undone;

    if (e->note)
        return str_format("%s%s%s%s", vm ? "VM " : "", vm ? vm : "", vm ? ": " : "", e->note);
    if (!what)
        what = journal_value(e, "name");
    if (e->committed)
        text = "it was completed; the data kept for undoing it was removed";
    return str_format("%s%s%s%s%s%s%s", vm ? "VM " : "", vm ? vm : "", vm ? ": " : "", text ? text : "removed", what ? " (" : "",
                      what ? what : "", what ? ")" : "");
}

/* Adds a line for each of the effects that are not open any more. */
static int recover_tell(struct journal *j, const bool *open, char ***ret)
{
    int r = 0;

    for (size_t i = j->n; i-- > 0 && r >= 0;) {
        const struct journal_effect *e = j->effects[i];
        if (!open[i] || e->state != EFFECT_SETTLED || (e->committed && !e->verb->finish))
            continue;
        _cleanup_free_ char *line = recover_in_words(j->effects[i]);
        r = line ? strv_add(ret, line) : -ENOMEM;
    }
    return r;
}

static void recover_one(struct journal *j, struct journal_recovered *ret, char ***undone, struct err *why)
{
    _cleanup_free_ bool *open = calloc(j->n + 1, sizeof(*open));

    for (size_t i = 0; open && i < j->n; i++)
        open[i] = j->effects[i]->state != EFFECT_SETTLED;
    ret->session_id = j->session_id;
    ret->effects = journal_open_effects(j);
    (void)journal_undo_all(j, why);
    ret->left = journal_open_effects(j);
    ret->text = why->code ? why->text : NULL;
    if (open)
        (void)recover_tell(j, open, undone); /* without memory for it, it is not told */
    ret->undone = *undone;
}

int journal_recover_session(const struct journal_watch_config *c, const struct journal_filter *which, size_t *ret_left, struct err *err)
{
    _cleanup_(journal_free_p) struct journal *j = NULL;

    int r = recover_load(c->dir, c->session_id, c->verbs, c->ctx, c->log, &j, err);
    if (r < 0)
        return r;
    r = journal_undo_some(j, which, err);
    *ret_left = journal_worth_again(j, c->held_verb);
    return r;
}

int journal_list_sessions(const char *dir, char ***ret, struct err *err)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    const struct dirent *entry;

    if (!d)
        return errno == ENOENT ? 0 : err_errno(err, errno, "cannot read %s", dir);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.' && strv_add(ret, entry->d_name) < 0)
            return err_nomem(err);
    strv_sort(*ret);
    return 0;
}

int journal_recover(const char *dir, const struct journal_verb *verbs, void *ctx, const struct log *log,
                    void (*fn)(void *priv, const struct journal_recovered *r), void *priv, struct err *err)
{
    _cleanup_strv_ char **sessions = NULL;

    int r = journal_list_sessions(dir, &sessions, err);
    if (r < 0)
        return r;
    for (char **s = sessions; s && *s; s++) {
        _cleanup_(journal_free_p) struct journal *j = NULL;
        _cleanup_strv_ char **undone = NULL;
        struct journal_recovered report = { .session_id = *s };
        struct err why = ERR_INIT;

        r = recover_load(dir, *s, verbs, ctx, log, &j, &why);
        if (r == -EBUSY || r == -ENOENT || r == -ENOTDIR)
            continue;
        if (r < 0) {
            report.left = 1;
            report.text = why.text;
            log_error(log, "session %s cannot be recovered: %s", *s, why.text);
        } else {
            if (journal_fault_arm(j, &why) >= 0)
                recover_one(j, &report, &undone, &why);
        }
        if (fn)
            fn(priv, &report);
    }
    return 0;
}
