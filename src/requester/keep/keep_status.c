/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it stands with the backups: of each VM the newest restore point and its age, what the repository is like, and what was left behind.
 * Nothing is touched. What is wrong is in one list, which the caller may turn into an alarm. */
#include "requester/keep/keep_status.h"
#include "base/clock.h"
#include "base/guid.h"
#include "base/io.h"
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

static void status_clear(struct state_of_backups *s)
{
    for (size_t i = 0; i < s->n_points; i++)
        json_decref(s->metas ? s->metas[i] : NULL);
    free(s->metas);
    store_list_free(s->points, s->n_points);
    free(s->protections);
    json_decref(s->vms);
    json_decref(s->problems);
}

void status_problem(struct state_of_backups *s, enum status_level level, const char *fmt, ...)
{
    static const char *const names[] = { "warning", "critical" };
    va_list ap;

    va_start(ap, fmt);
    json_t *text = json_text_format(fmt, ap);
    va_end(ap);
    json_array_append_new(s->problems, json_pack("{s:s, s:o}", "level", names[level], "text", text));
}

/* ---- The repository ---------------------------------------------------------------------------------------------------------------*/

static int status_load(struct state_of_backups *s, struct err *err)
{
    int r = repository_open_for(s->rq, KNOWN_CHECK, err);

    if (r >= 0)
        r = store_list(s->rq->store, &s->points, &s->n_points, &s->n_bad, err);
    if (r >= 0)
        r = store_protections(s->rq->store, &s->protections, &s->n_protections, err);
    if (r < 0)
        return r;
    if (!(s->metas = calloc(s->n_points + 1, sizeof(*s->metas))))
        return err_nomem(err);
    for (size_t i = 0; i < s->n_points; i++)
        (void)point_meta(s->points[i].meta, &s->metas[i], NULL);
    return 0;
}

static json_t *status_unverified(const struct state_of_backups *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->n_points; i++)
        if (!known_verified(s->rq, s->points[i].id))
            json_array_append_new(list, json_string(s->points[i].id));
    return list;
}

static json_t *status_repository(struct state_of_backups *s)
{
    const char *path = s->rq->config.repository;
    uint64_t free_bytes = 0, total = 0;
    size_t guarded = 0;

    for (size_t i = 0; i < s->n_points; i++)
        guarded += store_protection_find(s->protections, s->n_protections, s->points[i].id) != NULL;
    bool known = io_space(path, &free_bytes, &total, NULL) >= 0;
    if (s->n_bad)
        status_problem(s, STATUS_CRITICAL, "restore points that cannot be read: %zu (kvss verify)", s->n_bad);
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "path", json_text(path), "free",
                     known ? json_integer((json_int_t)free_bytes) : json_null(), "total",
                     known ? json_integer((json_int_t)total) : json_null(), "points", (json_int_t)s->n_points, "protected",
                     (json_int_t)guarded, "unreadable", (json_int_t)s->n_bad, "unverified", status_unverified(s));
}

static int status_locks(struct state_of_backups *s, json_t *report, struct err *err)
{
    _cleanup_free_ struct store_lock_info *locks = NULL;
    json_t *list = json_array();
    size_t n = 0;

    int r = store_lock_list(s->rq->store, &locks, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:b}", "id", locks[i].id, "owner", json_text(locks[i].owner), "stale",
                                              locks[i].stale, "maintenance", locks[i].maintenance));
        if (locks[i].stale)
            status_problem(s, STATUS_WARNING, "a stale lock: %s (kvss unlock)", locks[i].owner);
    }
    json_object_set_new(report, "locks", list);
    return r;
}

static void status_known(struct state_of_backups *s, const json_t *report)
{
    size_t missing = json_array_size(json_object_get(report, "missing")), returned = json_array_size(json_object_get(report, "returned"));

    if (missing)
        status_problem(s, STATUS_CRITICAL, "restore points missing from the repository: %zu (kvss list points)", missing);
    if (returned)
        status_problem(s, STATUS_WARNING, "removed restore points that have reappeared: %zu (kvss list points)", returned);
}

/* ---- What was left behind ---------------------------------------------------------------------------------------------------------*/

struct status_sessions {
    struct state_of_backups *s;
    json_t *list;
};

static void status_note_session(void *priv, const struct journal_recovered *r)
{
    struct status_sessions *x = priv;

    json_array_append_new(
        x->list, json_pack("{s:s, s:I, s:o}", "session", r->session_id, "effects", (json_int_t)r->effects, "why", json_text(r->text)));
    status_problem(x->s, STATUS_WARNING, "session %s crashed and has not been undone (kvss recover)", r->session_id);
}

static int status_add_sessions(struct state_of_backups *s, json_t *report, struct err *err)
{
    struct status_sessions x = { s, json_array() };
    _cleanup_free_ struct journal_verb *verbs = NULL;
    _cleanup_free_ char *dir = NULL;
    struct err why = ERR_INIT;

    json_object_set_new(report, "sessions", x.list);
    if (sessions_dir(&dir, &why) < 0)
        return 0;
    int r = session_verbs(&verbs, err);
    if (r >= 0 && journal_survey(dir, verbs, status_note_session, &x, &why) < 0)
        status_problem(s, STATUS_WARNING, "%s", why.text);
    return r;
}

/* ---- The job ----------------------------------------------------------------------------------------------------------------------*/

static int status_report(struct state_of_backups *s, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *report = json_object();
    char now[32];

    if (!report)
        return err_nomem(err);
    json_object_set_new(report, "time", json_string(clock_format(s->now_us, now)));
    int r = known_report(s->rq, report, err);
    if (r < 0)
        return r;
    status_known(s, report);
    json_object_set(report, "vms", s->vms);
    json_object_set_new(report, "libvirt", json_text(s->libvirt.code ? s->libvirt.text : NULL));
    json_object_set_new(report, "repository", status_repository(s));
    r = status_locks(s, report, err);
    if (r >= 0)
        r = status_add_sessions(s, report, err);
    if (r < 0)
        return r;
    json_object_set(report, "problems", s->problems);
    *ret = TAKE_PTR(report);
    return 0;
}

int requester_status(struct requester *rq, const struct requester_status *job, json_t **ret, struct err *err)
{
    _cleanup_(status_clear) struct state_of_backups s = {
        .rq = rq, .job = job, .now_us = clock_wall_us(), .vms = json_array(), .problems = json_array()
    };

    rq->end = REQUESTER_DONE;
    int r = s.vms && s.problems ? status_load(&s, err) : err_nomem(err);
    if (r >= 0)
        r = status_vms(&s, err);
    if (r >= 0)
        r = status_report(&s, ret, err);
    return job_end(rq, r, err);
}
