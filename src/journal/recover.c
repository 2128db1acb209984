/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions whose owner has died: their effects are undone by whoever comes next. */
#include "base/io.h"
#include "base/strv.h"
#include "journal/internal.h"
#include <errno.h>
#include <string.h>

DEFINE_CLEANUP(struct journal *, journal_free)

/* The list as it was on disk. From here on it is written to again, so that a recovery that dies is recovered in turn. */
static int load(const char *dir, const char *session, const struct journal_verb *verbs, void *ctx, const struct log *log,
                struct journal **ret, struct err *err)
{
    _cleanup_(journal_free_p) struct journal *j = NULL;
    struct journal_file *file = NULL;

    int r = journal_make(session, verbs, ctx, log, &j, err);
    if (r < 0 || (r = journal_file_take(dir, session, &file, err)) < 0)
        return r;
    r = journal_file_load(file, j, err);
    if (r < 0) {
        journal_file_close(file, false);
        return r;
    }
    j->file = file;
    *ret = TAKE_PTR(j);
    return 0;
}

static void recover_one(struct journal *j, struct journal_recovered *ret, struct err *why)
{
    ret->session_id = j->session_id;
    ret->effects = journal_open_effects(j);
    (void)journal_undo_all(j, why);
    ret->left = journal_open_effects(j);
    ret->text = why->code ? why->text : NULL;
}

int journal_recover_session(const char *dir, const char *session_id, const struct journal_verb *verbs, void *ctx,
                            const struct log *log, size_t *ret_left, struct err *err)
{
    _cleanup_(journal_free_p) struct journal *j = NULL;

    int r = load(dir, session_id, verbs, ctx, log, &j, err);
    if (r < 0)
        return r;
    r = journal_undo_all(j, err);
    *ret_left = journal_open_effects(j);
    return r;
}

static int list_sessions(const char *dir, char ***ret, struct err *err)
{
    _cleanup_closedir_ DIR *d = opendir(dir);
    const struct dirent *entry;

    if (!d)
        return errno == ENOENT ? 0 : err_errno(err, errno, "cannot read %s", dir);
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.' && strv_add(ret, entry->d_name) < 0)
            return err_set(err, ENOMEM, "out of memory");
    return 0;
}

int journal_recover(const char *dir, const struct journal_verb *verbs, void *ctx, const struct log *log,
                    void (*fn)(void *priv, const struct journal_recovered *r), void *priv, struct err *err)
{
    _cleanup_strv_ char **sessions = NULL;

    int r = list_sessions(dir, &sessions, err);
    if (r < 0)
        return r;
    strv_sort(sessions);
    for (char **s = sessions; s && *s; s++) {
        _cleanup_(journal_free_p) struct journal *j = NULL;
        struct journal_recovered report = { .session_id = *s };
        struct err why = ERR_INIT;

        r = load(dir, *s, verbs, ctx, log, &j, &why);
        if (r == -EBUSY || r == -ENOENT || r == -ENOTDIR)
            continue;
        if (r < 0) {
            report.left = 1;
            report.text = why.text;
            log_error(log, "session %s cannot be recovered: %s", *s, why.text);
        } else {
            if (journal_fault_arm(j, &why) >= 0)
                recover_one(j, &report, &why);
        }
        if (fn)
            fn(priv, &report);
    }
    return 0;
}
