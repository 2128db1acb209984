/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/session_state.h"
#include "vss/dispatch.h"
#include "base/thread.h"
#include <errno.h>
#include <string.h>
#include <time.h>

/* At its end a session waits this long for handlers that are late, so that BackupShutdown can free what they work on. */
#define LATE_GRACE_MS 5000

int vss_session_new(struct vss_service *s, struct vss_session **ret, struct err *err)
{
    _cleanup_free_ struct vss_session *v = calloc(1, sizeof *v);

    if (!v)
        return err_nomem(err);
    int r = components_new(&v->doc, err);
    if (r < 0)
        return r;
    v->service = s;
    service_ref(s);
    v->id = guid_new();
    v->refs = 1;
    pthread_mutex_init(&v->lock, NULL);
    thread_cond_init(&v->changed);
    *ret = TAKE_PTR(v);
    return 0;
}

static void session_free(struct vss_session *v)
{
    for (size_t i = 0; i < v->n_members; i++) {
        metadata_free(v->members[i]->md);
        free(v->members[i]);
    }
    for (size_t i = 0; i < v->n_stored; i++)
        metadata_free(v->stored[i]);
    free(v->members);
    free(v->stored);
    free(v->left_out);
    free(v->status);
    free(v->providers);
    free(v->disks);
    strv_free(v->only_classes);
    strv_free(v->not_classes);
    strv_free(v->not_instances);
    components_free(v->doc);
    pool_free(&v->strings);
    pthread_cond_destroy(&v->changed);
    pthread_mutex_destroy(&v->lock);
    service_unref(v->service);
    free(v);
}

void session_unref(struct vss_session *v)
{
    pthread_mutex_lock(&v->lock);
    bool last = --v->refs == 0;
    pthread_cond_broadcast(&v->changed); /* the release may be waiting for it */
    pthread_mutex_unlock(&v->lock);
    if (last)
        session_free(v);
}

/* What a writer keeps for the session is freed by BackupShutdown; not under the hands of a handler that still runs. */
static void leave_out_late(struct vss_session *v)
{
    SCOPED_LOCK(&v->lock);
    for (size_t i = 0; i < v->n_members; i++) {
        struct member *m = v->members[i];
        if (m->running == 0)
            continue;
        m->takes_part = false;
        log_error(v->service->config.log, "writer %s is not sent BackupShutdown: one of its handlers has not returned",
                  m->entry->writer.name);
    }
}

static void shut_down_writers(struct vss_session *v)
{
    struct err err = ERR_INIT;

    if (!dispatch_wait_late(v, LATE_GRACE_MS))
        leave_out_late(v);
    if (v->state != S_COMPLETE)
        session_nothing_succeeded(v);
    (void)dispatch_event(v, EVENT_BACKUP_SHUTDOWN, NULL, &err); /* it is logged there; nobody is left to tell */
}

static bool auto_release(const struct vss_session *v)
{
    return (v->doc->context & VSS_VOLSNAP_ATTR_NO_AUTO_RELEASE) == 0;
}

static void release_snapshots(struct vss_session *v)
{
    bool committed = v->state == S_SNAPPED || v->state == S_COMPLETE;
    struct err err = ERR_INIT;

    if (v->snapshots_gone || (committed && !auto_release(v)))
        return;
    if (providers_call(v, committed ? PROVIDER_DELETE : PROVIDER_ABORT, NULL, NULL, &err) < 0)
        log_error(v->service->config.log, "cannot delete the shadow copies of set %s: %s", v->doc->set_id ? v->doc->set_id : "-", err.text);
}

void vss_session_release(struct vss_session *v)
{
    struct err err = ERR_INIT;

    if (!v)
        return;
    if (!session_is_restore(v)) {
        /* A failed backup that nobody aborted must not leave writers held. */
        if (v->state == S_FAILED && !v->aborted)
            (void)vss_abort_backup(v, &err);
        session_leave_set(v);
        shut_down_writers(v);
        release_snapshots(v);
    }
    session_unref(v);
}

bool vss_writer_takes_part(const struct vss_session *v, const char *writer_id)
{
    for (size_t i = 0; i < v->n_members; i++)
        if (guid_equal(v->members[i]->entry->writer.id, writer_id))
            return v->members[i]->takes_part;
    return false;
}

const char *vss_session_id(const struct vss_session *v)
{
    return v->id.text;
}

void vss_set_event_log(struct vss_session *v, vss_event_fn *fn, void *priv)
{
    v->log_fn = fn;
    v->log_priv = priv;
}

/* ---- Status ---------------------------------------------------------------------------------------------------------------*/

int vss_gather_writer_status(struct vss_session *v, struct err *err)
{
    int r = session_check(v, CALL_GATHER_WRITER_STATUS, err);

    if (r < 0)
        return r;
    struct vss_writer_status *status = calloc(v->n_members + 1, sizeof *status);
    if (!status)
        return err_nomem(err);
    for (size_t i = 0; i < v->n_members; i++) {
        const struct member *m = v->members[i];
        status[i] = (struct vss_writer_status){
            .name = m->entry->writer.name,
            .id = m->entry->writer.id,
            .instance_id = m->entry->instance_id,
            .state = m->state,
            .hresult = m->failure,
            .text = m->text,
        };
    }
    free(v->status);
    v->status = status;
    v->n_status = v->n_members;
    return 0;
}

size_t vss_writer_status_count(const struct vss_session *v)
{
    return v->n_status;
}

int vss_get_writer_status(const struct vss_session *v, size_t i, struct vss_writer_status *ret, struct err *err)
{
    int r = session_check(v, CALL_GET_WRITER_STATUS, err);

    if (r < 0)
        return r;
    if (!v->status)
        return err_vss(err, VSS_E_BAD_STATE, EPROTO, "GetWriterStatus is out of order: call GatherWriterStatus first");
    if (i >= v->n_status)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "there is no writer status number %zu", i);
    *ret = v->status[i];
    return 0;
}

int vss_get_component_state(const struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                            struct vss_component_state *ret, struct err *err)
{
    struct bc_component *c = NULL;
    int r = session_component(v, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    SCOPED_LOCK((pthread_mutex_t *)(uintptr_t)&v->lock);
    *ret = (struct vss_component_state){
        .backup_metadata = c->backup_metadata,
        .backup_stamp = c->backup_stamp,
        .previous_stamp = c->previous_stamp,
        .failure_text = c->failure_text,
        .restore_metadata = c->restore_metadata,
        .failure = c->failure,
        .backup_succeeded = c->backup_succeeded,
        .selected_for_restore = c->selected_for_restore,
        .restore_target = c->restore_target == VSS_RT_UNDEFINED ? VSS_RT_ORIGINAL : c->restore_target,
        .file_restore_status = c->file_restore_status,
        .pre_restore_failure = c->pre_restore_failure,
        .post_restore_failure = c->post_restore_failure,
    };
    return 0;
}
