/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/dispatch.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

typedef bool handler_fn(void *writer, struct kvss_event *ev);

struct event_info {
    const char *name;
    enum vss_writer_state ok, failed;
};

static const struct event_info events[] = {
    [EVENT_PREPARE_BACKUP] = { "PrepareForBackup", VSS_WS_STABLE, VSS_WS_FAILED_AT_PREPARE_BACKUP },
    [EVENT_PREPARE_SNAPSHOT] = { "PrepareForSnapshot", VSS_WS_WAITING_FOR_FREEZE, VSS_WS_FAILED_AT_PREPARE_SNAPSHOT },
    [EVENT_FREEZE] = { "Freeze", VSS_WS_WAITING_FOR_THAW, VSS_WS_FAILED_AT_FREEZE },
    [EVENT_THAW] = { "Thaw", VSS_WS_WAITING_FOR_POST_SNAPSHOT, VSS_WS_FAILED_AT_THAW },
    [EVENT_POST_SNAPSHOT] = { "PostSnapshot", VSS_WS_WAITING_FOR_BACKUP_COMPLETE, VSS_WS_FAILED_AT_POST_SNAPSHOT },
    [EVENT_BACKUP_COMPLETE] = { "BackupComplete", VSS_WS_STABLE, VSS_WS_FAILED_AT_BACKUP_COMPLETE },
    [EVENT_BACKUP_SHUTDOWN] = { "BackupShutdown", VSS_WS_STABLE, VSS_WS_FAILED_AT_BACKUPSHUTDOWN },
    /* VSS has no state for a failed Abort; the writer's state is then not known. */
    [EVENT_ABORT] = { "Abort", VSS_WS_STABLE, VSS_WS_UNKNOWN },
    [EVENT_PRE_RESTORE] = { "PreRestore", VSS_WS_STABLE, VSS_WS_FAILED_AT_PRE_RESTORE },
    [EVENT_POST_RESTORE] = { "PostRestore", VSS_WS_STABLE, VSS_WS_FAILED_AT_POST_RESTORE },
};

static handler_fn *event_handler(const struct kvss_writer *w, enum event_kind kind)
{
    switch (kind) {
    case EVENT_PREPARE_BACKUP: return w->prepare_backup;
    case EVENT_PREPARE_SNAPSHOT: return w->prepare_snapshot;
    case EVENT_FREEZE: return w->freeze;
    case EVENT_THAW: return w->thaw;
    case EVENT_POST_SNAPSHOT: return w->post_snapshot;
    case EVENT_BACKUP_COMPLETE: return w->backup_complete;
    case EVENT_BACKUP_SHUTDOWN: return w->backup_shutdown;
    case EVENT_ABORT: return w->abort;
    case EVENT_PRE_RESTORE: return w->pre_restore;
    case EVENT_POST_RESTORE: return w->post_restore;
    }
    return NULL;
}

static void event_run(struct task *t)
{
    struct kvss_event *ev = (struct kvss_event *)t;
    struct vss_session *v = t->session;
    handler_fn *handler = event_handler(&ev->member->entry->writer, ev->kind);
    bool ok = handler ? handler(ev->member->entry->priv, ev) : true;

    SCOPED_LOCK(&v->lock);
    ev->ok = ok;
    ev->member->running--;
}

static void event_free(struct task *t)
{
    struct kvss_event *ev = (struct kvss_event *)t;

    free(ev->components);
    free(ev);
}

/* The writer's explicit components; in a restore those selected. */
static int list_components(struct kvss_event *ev, bool restore, struct err *err)
{
    struct bc_writer *bc = ev->member->bc;

    if (!bc || bc->n_components == 0)
        return 0;
    ev->components = calloc(bc->n_components, sizeof *ev->components);
    if (!ev->components)
        return err_nomem(err);
    for (size_t i = 0; i < bc->n_components; i++)
        if (!restore || bc->components[i]->selected_for_restore)
            ev->components[ev->n_components++] = (struct kvss_component){ ev, bc->components[i] };
    return 0;
}

int event_new(struct vss_session *v, struct member *m, enum event_kind kind, const struct deadline *deadline, struct kvss_event **ret,
              struct err *err)
{
    struct kvss_event *ev = calloc(1, sizeof *ev);

    if (!ev)
        return err_nomem(err);
    task_init(&ev->task, v, event_run, event_free);
    ev->member = m;
    ev->kind = kind;
    ev->backup_type = m->bc ? m->bc->backup_type : v->doc->backup_type;
    ev->succeeded = v->state == S_COMPLETE;
    ev->has_deadline = deadline != NULL;
    if (deadline)
        ev->deadline = *deadline;
    int r = list_components(ev, session_is_restore(v), err);
    if (r < 0) {
        event_free(&ev->task);
        return r;
    }
    *ret = ev;
    return 0;
}

void dispatch_log(const struct vss_session *v, const char *event, const char *writer, enum vss_writer_state state, uint32_t hresult)
{
    if (v->log_fn)
        v->log_fn(v->log_priv, event, writer, state, hresult);
}

unsigned member_freeze_limit_ms(const struct vss_session *v, const struct member *m)
{
    unsigned own = m->entry->writer.freeze_limit_ms, all = v->service->config.freeze_limit_ms;

    return own != 0 && own < all ? own : all;
}

/* ---- Results --------------------------------------------------------------------------------------------------------------*/

static int errno_of(uint32_t hresult)
{
    switch (hresult) {
    case VSS_E_WRITERERROR_TIMEOUT: return ETIMEDOUT;
    case VSS_E_WRITERERROR_OUTOFRESOURCES: return ENOMEM;
    case VSS_E_WRITERERROR_RETRYABLE: return EAGAIN;
    case VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT: return EINVAL;
    default: return EIO;
    }
}

static int dispatch_report(const struct vss_session *v, const struct member *m, uint32_t failure, const char *text, struct err *err)
{
    return member_error(v, m, failure, errno_of(failure), text ? text : "no reason given", err);
}

struct event_result {
    bool late;
    bool ok;
    uint32_t failure;
    const char *text;
};

/* Takes what the handler said, and nothing that it says later. */
static struct event_result close_event(struct kvss_event *ev)
{
    SCOPED_LOCK(&ev->task.session->lock);
    ev->closed = true;
    if (!ev->task.done)
        return (struct event_result){ .late = true, .failure = VSS_E_WRITERERROR_TIMEOUT };
    if (ev->ok && ev->failure == VSS_S_OK)
        return (struct event_result){ .ok = true };
    return (struct event_result){
        .failure = ev->failure != VSS_S_OK ? ev->failure : VSS_E_WRITERERROR_NONRETRYABLE,
        .text = ev->failure_text,
    };
}

/* Abort and BackupShutdown end a session: they leave a failure readable that was there before. */
static bool keeps_failure(enum event_kind kind)
{
    return kind == EVENT_ABORT || kind == EVENT_BACKUP_SHUTDOWN;
}

static int dispatch_settle(struct vss_session *v, struct kvss_event *ev, struct err *err)
{
    struct member *m = ev->member;
    const struct event_info *info = &events[ev->kind];
    struct event_result o = close_event(ev);
    int r = 0;

    if (o.ok) {
        if (!keeps_failure(ev->kind) || m->failure == VSS_S_OK) {
            m->state = info->ok;
            m->failure = VSS_S_OK;
            m->text = NULL;
        }
    } else {
        char text[128];
        if (o.late) {
            m->expired = true;
            snprintf(text, sizeof text, "its handler did not return within %u ms", ev->deadline.limit_ms);
            o.text = text;
        }
        member_fail(v, m, info->name, info->failed, o.failure, o.text);
        r = dispatch_report(v, m, o.failure, o.text, err);
    }
    dispatch_log(v, info->name, m->entry->writer.name, m->state, o.ok ? VSS_S_OK : o.failure);
    return r;
}

/* ---- Sending --------------------------------------------------------------------------------------------------------------*/

static struct kvss_event *event_of(struct task *t)
{
    return (struct kvss_event *)t; /* the task is its first member */
}

static int make_events(struct vss_session *v, enum event_kind kind, const struct deadline *deadline, struct task **tasks, size_t *ret_n,
                       struct err *err)
{
    for (size_t i = 0; i < v->n_members; i++) {
        struct kvss_event *ev = NULL;
        if (!v->members[i]->takes_part || (v->out_of_turn && session_waits_its_turn(v, v->members[i])))
            continue;
        int r = event_new(v, v->members[i], kind, deadline, &ev, err);
        if (r < 0)
            return r;
        tasks[(*ret_n)++] = &ev->task;
    }
    return 0;
}

static int run_events(struct vss_session *v, struct task *const *tasks, size_t n, const struct deadline *deadline, struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < n; i++)
        event_of(tasks[i])->member->running++;
    pthread_mutex_unlock(&v->lock);
    tasks_run(v, tasks, n, deadline);
    for (size_t i = 0; i < n; i++) {
        int ri = dispatch_settle(v, event_of(tasks[i]), r == 0 ? err : NULL);
        r = r == 0 ? ri : r;
    }
    return r;
}

int dispatch_event(struct vss_session *v, enum event_kind kind, const struct deadline *deadline, struct err *err)
{
    _cleanup_free_ struct task **tasks = calloc(v->n_members + 1, sizeof *tasks);
    size_t n = 0;

    if (!tasks)
        return err_nomem(err);
    if (!keeps_failure(kind))
        v->aborted = false;
    int r = make_events(v, kind, deadline, tasks, &n, err);
    if (r == 0)
        r = run_events(v, tasks, n, deadline, err);
    for (size_t i = 0; i < n; i++)
        task_unref(tasks[i]);
    return r;
}

int dispatch_expire(struct vss_session *v, enum event_kind kind, const struct deadline *deadline, struct err *err)
{
    uint64_t elapsed = deadline_elapsed_ms(v, deadline);
    int r = 0;

    for (size_t i = 0; i < v->n_members; i++) {
        struct member *m = v->members[i];
        unsigned limit = member_freeze_limit_ms(v, m);
        if (!m->takes_part || (elapsed < limit && !m->expired))
            continue;
        char text[128];
        snprintf(text, sizeof text, "it was frozen for %llu ms, its limit is %u ms", (unsigned long long)elapsed, limit);
        if (!m->expired)
            member_fail(v, m, events[kind].name, events[kind].failed, VSS_E_WRITERERROR_TIMEOUT, text);
        m->expired = true;
        if (r == 0)
            r = dispatch_report(v, m, VSS_E_WRITERERROR_TIMEOUT, m->text, err);
    }
    return r;
}
