/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions that died: their effects are undone by the watchdog of the session, by the next command that touches VMs, by
 * `kvss recover`, or at boot (B2). */
#include "base/io.h"
#include "requester/session/claim.h"
#include "requester/stage/stage.h"
#include "requester/session/session.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#define BRIEF_MS 5000u     /* a command about other VMs does not wait for one whose QEMU hangs */
#define WATCHDOG_MS 45000u /* a QEMU that hangs fails it in 30 s */
#define SYSTEM_SESSIONS "/var/lib/kvss/sessions"

/* Root's sessions are the host's; a user's lie in the user's own folder for state. */
int sessions_dir(char **ret, struct err *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (geteuid() == 0)
        *ret = strdup(SYSTEM_SESSIONS);
    else if (state && *state == '/')
        *ret = str_format("%s/kvss/sessions", state);
    else if (home && *home == '/')
        *ret = str_format("%s/.local/state/kvss/sessions", home);
    else
        return err_set(err, ENOENT, "no place for the journal of a session: set HOME or XDG_STATE_HOME");
    return *ret ? 0 : err_nomem(err);
}

static size_t count_verbs(const struct journal_verb *v)
{
    size_t n = 0;

    while (v[n].name)
        n++;
    return n;
}

static struct journal_verb *add_verbs(struct journal_verb *to, const struct journal_verb *v)
{
    while (v->name)
        *to++ = *v++;
    return to;
}

int session_verbs(struct journal_verb **ret, struct err *err)
{
    const struct journal_verb *const own[] = { vm_writer_verbs, requester_verbs };
    const struct journal_verb *of_provider;
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        n += count_verbs(own[i]);
    for (size_t i = 0; (of_provider = provider_verbs(i)); i++)
        n += count_verbs(of_provider);
    struct journal_verb *verbs = calloc(n + 1, sizeof(*verbs));
    if (!verbs)
        return err_nomem(err);
    *ret = verbs;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        verbs = add_verbs(verbs, own[i]);
    for (size_t i = 0; (of_provider = provider_verbs(i)); i++)
        verbs = add_verbs(verbs, of_provider);
    return 0;
}

/* ---- Recovery ---------------------------------------------------------------------------------------------------------------*/

struct recovery {
    struct requester *rq;
    json_t *sessions;
    size_t left;
    struct err first;
};

static void recover_note(void *priv, const struct journal_recovered *r)
{
    struct recovery *rec = priv;

    rec->left += r->left;
    if (r->left && !rec->first.code)
        err_set(&rec->first, EIO, "session %s crashed, and its changes could not be undone: %s", r->session_id,
                r->text ? r->text : "unknown cause");
    if (r->effects)
        log_warning(rec->rq->config.log, "session %s had crashed; %zu of its %zu changes were undone", r->session_id,
                    r->effects - (r->left < r->effects ? r->left : r->effects), r->effects);
    for (char *const *line = r->undone; line && *line; line++)
        log_info(rec->rq->config.log, "%s", *line);
    json_array_append_new(rec->sessions, json_pack("{s:s, s:I, s:I, s:o, s:o}", "session", r->session_id, "effects", (json_int_t)r->effects,
                                                   "left", (json_int_t)r->left, "why", json_text(r->text), "undone", json_strv(r->undone)));
}

static int recover(struct requester *rq, struct hv *hv, struct recovery *rec, struct err *err)
{
    _cleanup_free_ struct journal_verb *verbs = NULL;
    _cleanup_free_ char *dir = NULL;

    rec->rq = rq;
    rec->sessions = json_array();
    int r = sessions_dir(&dir, err);
    if (r < 0 || (r = session_verbs(&verbs, err)) < 0)
        return r;
    r = journal_recover(dir, verbs, hv, rq->config.log, recover_note, rec, err);
    claims_sweep(dir);
    return r;
}

int recover_dead_sessions(struct requester *rq, struct hv *hv, struct err *err)
{
    struct recovery rec = { 0 };
    unsigned before = hv_set_answer_limit(hv, BRIEF_MS);

    int r = recover(rq, hv, &rec, err);
    hv_set_answer_limit(hv, before);
    json_decref(rec.sessions);
    /* What is left belongs to other VMs, perhaps; the backup of these must not fail for it, but nobody may miss it. */
    if (r >= 0 && rec.left)
        log_error(rq->config.log, "%s; run: kvss recover", rec.first.text);
    return r;
}

int requester_recover(struct requester *rq, json_t **ret, struct err *err)
{
    _cleanup_(hv_close_p) struct hv *hv = NULL;
    struct recovery rec = { 0 };

    rq->end = REQUESTER_DONE;
    _cleanup_free_ char *dir = NULL;

    int r = sessions_dir(&dir, err);
    if (r >= 0)
        r = hv_connect(rq, &hv, err);
    if (r >= 0)
        r = journal_wait_for_watchdogs(dir, WATCHDOG_MS, err);
    if (r >= 0)
        r = recover(rq, hv, &rec, err);
    if (r >= 0 && rec.left)
        r = err_move(err, &rec.first);
    if (r >= 0)
        *ret = json_pack("{s:O}", "sessions", rec.sessions);
    json_decref(rec.sessions);
    return job_end(rq, r, err);
}

/* ---- The watchdog's process ---------------------------------------------------------------------------------------------------*/

int requester_watchdog(struct requester *rq, const char *session_id, struct err *err)
{
    _cleanup_free_ struct journal_verb *verbs = NULL;
    _cleanup_(hv_close_p) struct hv *hv = NULL;
    _cleanup_free_ char *dir = NULL;

    int r = sessions_dir(&dir, err);
    if (r < 0 || (r = session_verbs(&verbs, err)) < 0 || (r = hv_connect(rq, &hv, err)) < 0)
        return r;
    /* Best effort: page faults of ours must not wait for a disk that a frozen guest's backup keeps busy. */
    (void)mlockall(MCL_CURRENT);
    const struct journal_watch_config c = {
        .fd = STDIN_FILENO,
        .dir = dir,
        .session_id = session_id,
        .held_verb = VM_WRITER_HELD_VERB,
        .verbs = verbs,
        .ctx = hv,
        .log = rq->config.log,
    };
    r = journal_watch_run(&c, err);
    claims_sweep(dir);
    return r;
}

struct own_path {
    char text[PATH_MAX];
};

/* The path of the command itself, by its name, so that process lists show what it is; a binary that was replaced meanwhile has none
 * any more. By value: where it gets a pointer, gcc 12 with sanitizers warns of a null one. */
static struct own_path own_path(void)
{
    struct own_path path;
    ssize_t n = readlink("/proc/self/exe", path.text, sizeof(path.text) - 1);

    path.text[n > 0 ? n : 0] = '\0';
    if (access(path.text, X_OK) < 0)
        strcpy(path.text, "/proc/self/exe");
    return path;
}

/* As external_object.c starts it. */
int requester_provider_host(struct err *err)
{
    return provider_host_run(3, 4, err);
}

/* `kvss keeper` and `kvss watchdog` are not for people. */
int session_keep(struct keeper **ret, struct err *err)
{
    struct own_path path = own_path();
    char *argv[] = { path.text, (char *)"keeper", NULL };

    return keeper_start(argv, ret, err);
}

int session_watch(struct requester *rq, struct journal *journal, const char *session_id, struct hv *hv, struct err *err)
{
    struct own_path path = own_path();
    char *argv[] = { path.text, (char *)"--connect", (char *)hv_uri(hv), (char *)"watchdog", (char *)session_id, NULL };

    (void)rq;
    int r = journal_watch_start(journal, argv, NULL, err);
    return r < 0 ? err_context(err, "cannot start the watchdog") : 0;
}
