/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session is made of, and looking things up in it. The calls are in session_calls.c (all sessions), session_backup.c,
 * session_snapshot.c and session_restore.c. */
#include "vss/session_state.h"
#include <errno.h>
#include <string.h>

bool session_is_restore(const struct vss_session *v)
{
    return v->state == S_RESTORE || v->state == S_RESTORE_GATHERED || v->state == S_PRE_RESTORED || v->state == S_RESTORED;
}

/* ---- Calls and states -----------------------------------------------------------------------------------------------------*/

int session_enter(const struct vss_session *v, enum session_call call, struct session_step *ret, struct err *err)
{
    struct session_step step;

    if (!state_allows(v->state, call, &step.ok, &step.failed))
        return err_vss(err, VSS_E_BAD_STATE, EPROTO, "%s is out of order: the session is %s", state_call_name(call), state_name(v->state));
    if (ret)
        *ret = step;
    return 0;
}

int session_leave(struct vss_session *v, const struct session_step *step, int r)
{
    v->state = r < 0 ? step->failed : step->ok;
    return r;
}

int session_check(const struct vss_session *v, enum session_call call, struct err *err)
{
    return session_enter(v, call, NULL, err);
}

/* ---- Members --------------------------------------------------------------------------------------------------------------*/

struct member *session_member(const struct vss_session *v, const char *writer_id)
{
    for (size_t i = 0; i < v->n_members; i++)
        if (guid_equal(v->members[i]->entry->writer.id, writer_id))
            return v->members[i];
    return NULL;
}

int session_component(const struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                      struct bc_component **ret, struct err *err)
{
    struct bc_writer *w = components_writer(v->doc, writer_id);
    struct bc_component *c = components_find(w, logical_path, name);

    if (!w)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "writer %s has no component in this %s", writer_id ? writer_id : "-",
                       session_is_restore(v) ? "restore" : "backup");
    if (!c)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "component '%s' of writer %s is not in this %s", name ? name : "", writer_id,
                       session_is_restore(v) ? "restore" : "backup");
    *ret = c;
    return 0;
}

int member_error(const struct vss_session *v, const struct member *m, uint32_t hresult, int code, const char *cause, struct err *err)
{
    const char *plain = v->service->config.self_naming;

    if (plain && guid_equal(m->entry->writer.id, plain))
        return err_vss(err, hresult, code, "%s", cause);
    return err_vss(err, hresult, code, "writer %s: %s", m->entry->writer.name, cause);
}

void member_fail(struct vss_session *v, struct member *m, const char *event, enum vss_writer_state state, uint32_t hresult,
                 const char *text)
{
    const char *cause = text ? text : "no reason given";

    const struct log *log = v->service->config.log;
    struct err said = ERR_INIT;

    member_error(v, m, hresult, EIO, cause, &said);
    if (log_wants(log, LOG_LEVEL_INFO))
        log_error(log, "writer '%s', event %s: %s (%s, 0x%08x)", m->entry->writer.name, event, cause, vss_error_symbol(hresult), hresult);
    else
        log_error(log, "%s", said.text);
    SCOPED_LOCK(&v->lock);
    m->state = state;
    m->failure = hresult;
    m->text = pool_copy(&v->strings, cause);
}
