/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls that go to every provider of the snapshot set. */
#include "vss/dispatch.h"
#include <errno.h>

typedef int set_fn(void *p, const char *set_id, struct err *err);

struct provider_task {
    struct task task; /* first */
    struct provider_entry *entry;
    enum provider_call call;
    struct guid set_id;
    int r; /* valid when done */
    struct err err;
};

static const char *const call_names[] = {
    [PROVIDER_END_PREPARE] = "EndPrepareSnapshots",
    [PROVIDER_PRE_COMMIT] = "PreCommitSnapshots",
    [PROVIDER_COMMIT] = "CommitSnapshots",
    [PROVIDER_POST_COMMIT] = "PostCommitSnapshots",
    [PROVIDER_PRE_FINAL_COMMIT] = "PreFinalCommitSnapshots",
    [PROVIDER_POST_FINAL_COMMIT] = "PostFinalCommitSnapshots",
    [PROVIDER_ABORT] = "AbortSnapshots",
    [PROVIDER_DELETE] = "DeleteSnapshots",
};

static set_fn *handler(const struct kvss_provider *p, enum provider_call call)
{
    switch (call) {
    case PROVIDER_END_PREPARE: return p->end_prepare;
    case PROVIDER_PRE_COMMIT: return p->pre_commit;
    case PROVIDER_COMMIT: return p->commit;
    case PROVIDER_POST_COMMIT: return p->post_commit;
    case PROVIDER_PRE_FINAL_COMMIT: return p->pre_final_commit;
    case PROVIDER_POST_FINAL_COMMIT: return p->post_final_commit;
    case PROVIDER_ABORT: return p->abort_snapshots;
    case PROVIDER_DELETE: return p->delete_snapshots;
    }
    return NULL;
}

static void provider_run(struct task *t)
{
    struct provider_task *pt = (struct provider_task *)t;
    set_fn *fn = handler(&pt->entry->provider, pt->call);

    pt->r = fn ? fn(pt->entry->priv, pt->set_id.text, &pt->err) : 0;
}

static void provider_task_free(struct task *t)
{
    free(t);
}

static int start_all(struct vss_session *v, enum provider_call call, struct task **tasks, struct err *err)
{
    for (size_t i = 0; i < v->n_providers; i++) {
        struct provider_task *pt = calloc(1, sizeof *pt);
        if (!pt)
            return err_nomem(err);
        task_init(&pt->task, v, provider_run, provider_task_free);
        pt->entry = v->providers[i];
        pt->call = call;
        guid_parse(v->doc->set_id, &pt->set_id);
        tasks[i] = &pt->task;
    }
    return 0;
}

static bool calls_is_done(struct vss_session *v, const struct task *t)
{
    SCOPED_LOCK(&v->lock);
    return t->done;
}

/* The result of one; *ret_late is set if there is none yet. */
static int calls_take_result(struct vss_session *v, struct task *t, bool *ret_late, struct err *err)
{
    struct provider_task *pt = (struct provider_task *)t;
    const char *name = pt->entry->provider.name, *call = call_names[pt->call];

    if (!calls_is_done(v, t)) {
        *ret_late = true;
        return err_vss(err, VSS_E_HOLD_WRITES_TIMEOUT, ETIMEDOUT, "provider %s did not return from %s in time", name, call);
    }
    if (pt->r == 0)
        return 0;
    uint32_t hresult = pt->err.hresult;
    if (hresult == 0)
        hresult = pt->err.code ? VSS_E_PROVIDER_VETO : VSS_E_UNEXPECTED_PROVIDER_ERROR;
    const char *cause = pt->err.code ? pt->err.text : "no reason given";
    const struct log *log = v->service->config.log;
    if (log_wants(log, LOG_LEVEL_INFO))
        log_error(log, "provider '%s', %s: %s (%s, 0x%08x)", name, call, cause, vss_error_symbol(hresult), hresult);
    else
        log_error(log, "provider %s: %s", name, cause);
    return err_vss(err, hresult, -pt->r, "provider %s: %s", name, cause);
}

int providers_call(struct vss_session *v, enum provider_call call, const struct deadline *deadline, bool *ret_late, struct err *err)
{
    _cleanup_free_ struct task **tasks = calloc(v->n_providers + 1, sizeof *tasks);
    bool late = false;

    if (!tasks)
        return err_nomem(err);
    int r = start_all(v, call, tasks, err);
    if (r == 0)
        tasks_run(v, tasks, v->n_providers, deadline);
    for (size_t i = 0; i < v->n_providers && tasks[i]; i++) {
        int ri = r == 0 ? calls_take_result(v, tasks[i], &late, err) : 0;
        r = r == 0 ? ri : r;
        task_unref(tasks[i]);
    }
    if (ret_late)
        *ret_late = late;
    return r;
}
