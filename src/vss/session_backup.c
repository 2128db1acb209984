/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The requester's calls in a backup, but for the snapshot set. */
#include "vss/dispatch.h"
#include "vss/session_state.h"
#include "vss/vss_text.h"
#include <errno.h>

/* What a requester may add to a context; the rest of the attributes is the system's to set. */
#define CONTEXT_EXTRAS                                                                                                           \
    (VSS_VOLSNAP_ATTR_DIFFERENTIAL | VSS_VOLSNAP_ATTR_PLEX | VSS_VOLSNAP_ATTR_TRANSPORTABLE | VSS_VOLSNAP_ATTR_NO_AUTORECOVERY | \
     VSS_VOLSNAP_ATTR_NOT_TRANSACTED | VSS_VOLSNAP_ATTR_ROLLBACK_RECOVERY)

int vss_initialize_for_backup(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_INITIALIZE_FOR_BACKUP, &step, err);

    return r < 0 ? r : session_leave(v, &step, 0);
}

static bool context_is_known(uint32_t context)
{
    uint32_t base = context & ~CONTEXT_EXTRAS;
    bool both = (context & VSS_VOLSNAP_ATTR_DIFFERENTIAL) && (context & VSS_VOLSNAP_ATTR_PLEX);

    return !both &&
           (base == VSS_CTX_BACKUP || base == VSS_CTX_FILE_SHARE_BACKUP || base == VSS_CTX_NAS_ROLLBACK || base == VSS_CTX_APP_ROLLBACK);
}

int vss_set_context(struct vss_session *v, uint32_t context, struct err *err)
{
    bool without_writers = (context & VSS_VOLSNAP_ATTR_NO_WRITERS) != 0;
    int r = session_check(v, CALL_SET_CONTEXT, err);

    if (r < 0)
        return r;
    if (!context_is_known(context))
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EINVAL, "snapshot context 0x%x is not supported", context);
    if (v->state == S_GATHERED && without_writers)
        return err_vss(err, VSS_E_BAD_STATE, EPROTO,
                       "SetContext is out of order: a context without writers, but writers "
                       "were gathered already");
    v->doc->context = context;
    if (v->state != S_GATHERED)
        v->state = without_writers ? S_BACKUP_NO_WRITERS : S_BACKUP;
    return 0;
}

int vss_set_backup_state(struct vss_session *v, bool select_components, bool bootable_state, enum vss_backup_type type, bool partial_files,
                         struct err *err)
{
    int r = session_check(v, CALL_SET_BACKUP_STATE, err);

    if (r < 0)
        return r;
    if (type < VSS_BT_FULL || type > VSS_BT_OTHER)
        return err_set(err, EINVAL, "%d is not a VSS backup type", (int)type);
    v->doc->select_components = select_components;
    v->doc->bootable_state = bootable_state;
    v->doc->backup_type = type;
    v->doc->partial_files = partial_files;
    return 0;
}

/* ---- Selection ------------------------------------------------------------------------------------------------------------*/

static enum vss_backup_type type_for(const struct kvss_metadata *md, enum vss_backup_type asked)
{
    uint32_t schema = md->info.backup_schema, needed = 0;

    switch (asked) {
    case VSS_BT_INCREMENTAL: needed = VSS_BS_INCREMENTAL; break;
    case VSS_BT_DIFFERENTIAL: needed = VSS_BS_DIFFERENTIAL; break;
    case VSS_BT_LOG: needed = VSS_BS_LOG; break;
    case VSS_BT_COPY: needed = VSS_BS_COPY; break;
    default: return asked;
    }
    return (schema & needed) ? asked : VSS_BT_FULL;
}

enum vss_backup_type vss_writer_backup_type(const struct vss_session *v, const char *writer_id)
{
    const struct member *m = session_member(v, writer_id);

    return m ? type_for(m->md, v->doc->backup_type) : VSS_BT_UNDEFINED;
}

/* The member's part of the document, made when it is first needed. */
static int need_bc_writer(struct vss_session *v, struct member *m, struct err *err)
{
    if (m->bc)
        return 0;
    int r = components_add_writer(v->doc, m->entry->writer.id, m->entry->instance_id, &m->bc, err);
    if (r < 0)
        return r;
    m->bc->backup_type = type_for(m->md, v->doc->backup_type);
    if (m->bc->backup_type != v->doc->backup_type)
        log_info(v->service->config.log, "writer %s does not support %s backups: its data is backed up in full", m->entry->writer.name,
                 vss_backup_type_name(v->doc->backup_type));
    return 0;
}

int vss_add_component(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, struct err *err)
{
    struct bc_component *c = NULL;
    int r = session_check(v, CALL_ADD_COMPONENT, err);

    if (r < 0)
        return r;
    if (!v->doc->select_components)
        return err_vss(err, VSS_E_BAD_STATE, EPROTO, "AddComponent is out of order: this backup is of entire volumes");
    struct member *m = session_member(v, writer_id);
    if (!m)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "component '%s' cannot be added: there is no writer %s", name ? name : "",
                       writer_id ? writer_id : "");
    int i = metadata_find(&m->md->info, logical_path, name);
    if (i < 0)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "writer '%s' has no component '%s'", m->entry->writer.name, name ? name : "");
    const struct vss_component_info *info = &m->md->info.components[i];
    r = selection_may_add(m, (size_t)i, err);
    if (r == 0)
        r = need_bc_writer(v, m, err);
    return r < 0 ? r : components_add(v->doc, m->bc, info->type, info->logical_path, info->name, &c, err);
}

/* Refuses a call out of order, and finds the component that it is about. */
static int backup_find_component(struct vss_session *v, enum session_call call, const char *writer_id, const char *logical_path,
                                 const char *name, struct bc_component **ret, struct err *err)
{
    int r = session_check(v, call, err);

    return r < 0 ? r : session_component(v, writer_id, logical_path, name, ret, err);
}

int vss_set_backup_options(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, const char *options,
                           struct err *err)
{
    struct bc_component *c = NULL;
    int r = backup_find_component(v, CALL_SET_BACKUP_OPTIONS, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    return components_set_text(v->doc, &c->backup_options, options, TEXT_METADATA_MAX, "backup options", err);
}

int vss_set_previous_backup_stamp(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                  const char *stamp, struct err *err)
{
    struct bc_component *c = NULL;
    int r = backup_find_component(v, CALL_SET_PREVIOUS_BACKUP_STAMP, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    return components_set_text(v->doc, &c->previous_stamp, stamp, TEXT_METADATA_MAX, "backup stamp", err);
}

int vss_set_backup_succeeded(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, bool succeeded,
                             struct err *err)
{
    struct bc_component *c = NULL;
    int r = backup_find_component(v, CALL_SET_BACKUP_SUCCEEDED, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&v->lock);
    c->backup_succeeded = succeeded;
    return 0;
}

/* ---- Events ---------------------------------------------------------------------------------------------------------------*/

/* Writers without an added component are shut out, unless whole volumes are backed up: then all take part. */
static int backup_choose_members(struct vss_session *v, struct err *err)
{
    for (size_t i = 0; i < v->n_members; i++) {
        struct member *m = v->members[i];
        int r = v->doc->select_components ? 0 : need_bc_writer(v, m, err);
        if (r < 0)
            return r;
        m->takes_part = m->bc != NULL;
    }
    return 0;
}

int vss_prepare_for_backup(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_PREPARE_FOR_BACKUP, &step, err);

    if (r < 0 || (r = selection_check(v, err)) < 0 || (r = backup_choose_members(v, err)) < 0)
        return r;
    return session_leave(v, &step, dispatch_event(v, EVENT_PREPARE_BACKUP, NULL, err));
}

int vss_backup_complete(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_BACKUP_COMPLETE, &step, err);

    return r < 0 ? r : session_leave(v, &step, dispatch_event(v, EVENT_BACKUP_COMPLETE, NULL, err));
}

int vss_withdraw_complete(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_WITHDRAW_COMPLETE, &step, err);

    return r < 0 ? r : session_leave(v, &step, 0);
}

void session_nothing_succeeded(struct vss_session *v)
{
    SCOPED_LOCK(&v->lock);
    for (size_t i = 0; i < v->doc->n_writers; i++)
        for (size_t k = 0; k < v->doc->writers[i]->n_components; k++)
            v->doc->writers[i]->components[k]->backup_succeeded = false;
}

/* Writers first: guests may be frozen. Both are told even if the other fails; the first failure is reported. Who is held for another
 * session's set by now must not be let go under its hands. As the turn is not ours nobody is held for us, and BackupShutdown has to do. */
static int abort_all(struct vss_session *v, struct err *err)
{
    struct err second = ERR_INIT;

    session_nothing_succeeded(v);
    v->out_of_turn = session_enter_set(v, true, &second) < 0;
    if (v->out_of_turn)
        log_warning(v->service->config.log, "not aborting writers that another session may be holding: %s", second.text);
    err_clear(&second);
    int r = dispatch_event(v, EVENT_ABORT, NULL, err);
    int rp = v->doc->set_id ? providers_call(v, PROVIDER_ABORT, NULL, NULL, r < 0 ? &second : err) : 0;

    v->out_of_turn = false;
    session_leave_set(v);
    v->aborted = r == 0 && rp == 0;
    v->snapshots_gone = rp == 0;
    set_forget_devices(v);
    return r < 0 ? r : rp;
}

int vss_abort_backup(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_ABORT_BACKUP, &step, err);

    if (r < 0 || v->state == S_COMPLETE)
        return r;
    return session_leave(v, &step, abort_all(v, err));
}

void session_raise_abort(struct vss_session *v, struct err *err)
{
    struct err second = ERR_INIT;

    if (abort_all(v, &second) < 0 && err) {
        struct err first = *err;
        err_set(err, first.code, "%s. Aborting failed too: %.512s", first.text, second.text);
        err->hresult = first.hresult;
    }
}
