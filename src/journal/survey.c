/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A look at the sessions that died, for those who only want to know. */
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <string.h>

#define WATCHDOG_POLL_MS 50u

DEFINE_CLEANUP(struct journal *, journal_free)

/* Open effects of a dead session; -EBUSY: its owner lives. Nothing is written: the file does not belong to the journal here. */
static int survey_count(const char *dir, const char *session, const struct journal_verb *verbs, size_t *ret, struct err *err)
{
    _cleanup_(journal_free_p) struct journal *j = NULL;
    struct journal_file *file = NULL;

    int r = journal_make(session, verbs, NULL, NULL, &j, err);
    if (r < 0 || (r = journal_file_take(dir, session, &file, err)) < 0)
        return r;
    r = journal_file_load(file, j, err);
    *ret = journal_open_effects(j);
    journal_file_close(file, false);
    return r;
}

int journal_survey(const char *dir, const struct journal_verb *verbs, void (*fn)(void *priv, const struct journal_recovered *r), void *priv,
                   struct err *err)
{
    _cleanup_strv_ char **sessions = NULL;

    int r = journal_list_sessions(dir, &sessions, err);
    if (r < 0)
        return r;
    for (char **s = sessions; s && *s; s++) {
        struct journal_recovered report = { .session_id = *s };
        struct err why = ERR_INIT;

        r = survey_count(dir, *s, verbs, &report.effects, &why);
        if (r == -EBUSY || r == -ENOENT || r == -ENOTDIR)
            continue;
        report.left = report.effects;
        report.text = r < 0 ? why.text : NULL;
        if (r < 0 || report.left)
            fn(priv, &report);
    }
    return 0;
}

/* Its owner is known to be dead. 1: yes; -ENOMEM. */
static int is_orphan(const char *dir, const char *session)
{
    _cleanup_free_ char *folder = io_path(dir, session);
    _cleanup_free_ char *mark = folder ? io_path(folder, JOURNAL_ORPHAN) : NULL;

    return mark ? io_exists(mark) : -ENOMEM;
}

/* 1: whoever has it is not its owner, who is dead. */
static int is_being_undone(const char *dir, const char *session)
{
    struct journal_file *file = NULL;

    int orphan = is_orphan(dir, session);
    if (orphan <= 0)
        return orphan;
    int r = journal_file_take(dir, session, &file, NULL);
    journal_file_close(r < 0 ? NULL : file, false);
    return r == -EBUSY;
}

int journal_wait_for_watchdogs(const char *dir, unsigned ms, struct err *err)
{
    uint64_t end = clock_mono_ms() + ms;
    _cleanup_strv_ char **sessions = NULL;

    int r = journal_list_sessions(dir, &sessions, err);
    for (char **s = sessions; r >= 0 && s && *s; s++) {
        while ((r = is_being_undone(dir, *s)) > 0 && clock_mono_ms() < end)
            clock_sleep_ms(WATCHDOG_POLL_MS);
        if (r < 0)
            return err_errno(err, -r, "cannot access session %s", *s);
        if (r > 0)
            return err_set(err, EBUSY,
                           "session %s crashed, and its watchdog has been undoing its changes for longer than %u s: try again later", *s,
                           ms / 1000);
    }
    return r;
}

/* Whether a session whose owner has died, and which someone puts back just now, has open effects of the group. */
static bool survey_has_group(const char *dir, const char *session, const struct journal_verb *verbs, const char *group)
{
    _cleanup_(journal_free_p) struct journal *j = NULL;
    struct journal_file *file = NULL;
    bool has = false;

    if (is_being_undone(dir, session) <= 0)
        return false;
    if (journal_make(session, verbs, NULL, NULL, &j, NULL) < 0 || journal_file_peek(dir, session, &file, NULL) < 0)
        return false;
    if (journal_file_load(file, j, NULL) >= 0)
        for (size_t i = 0; i < j->n && !has; i++) {
            const char *of = journal_value(j->effects[i], "group");
            has = j->effects[i]->state != EFFECT_SETTLED && of && !strcmp(of, group);
        }
    journal_file_close(file, false);
    return has;
}

int journal_group_held(const char *dir, const struct journal_verb *verbs, const char *group, struct err *err)
{
    _cleanup_strv_ char **sessions = NULL;

    int r = journal_list_sessions(dir, &sessions, err);
    for (char **s = sessions; r >= 0 && s && *s; s++)
        if (survey_has_group(dir, *s, verbs, group))
            return 1;
    return r;
}
