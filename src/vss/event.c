/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a writer sees of an event: <kvss/writer.h>. Any of its threads may call these while the handler runs. */
#include "vss/dispatch.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *kvss_event_session_id(const struct kvss_event *ev)
{
    return ev->task.session->id.text;
}

const char *kvss_event_set_id(const struct kvss_event *ev)
{
    const char *id = ev->task.session->doc->set_id;

    return id ? id : "";
}

enum vss_backup_type kvss_event_backup_type(const struct kvss_event *ev)
{
    return ev->backup_type;
}

uint32_t kvss_event_context(const struct kvss_event *ev)
{
    return ev->task.session->doc->context;
}

bool kvss_event_bootable_state(const struct kvss_event *ev)
{
    return ev->task.session->doc->bootable_state;
}

bool kvss_event_components_selected(const struct kvss_event *ev)
{
    return ev->task.session->doc->select_components;
}

bool kvss_event_path_affected(const struct kvss_event *ev, const char *path)
{
    return volumes_has_path(ev->task.session, path);
}

bool kvss_event_succeeded(const struct kvss_event *ev)
{
    return ev->succeeded;
}

int64_t kvss_event_time_left_ms(const struct kvss_event *ev)
{
    return ev->has_deadline ? (int64_t)deadline_left_ms(ev->task.session, &ev->deadline) : -1;
}

void *kvss_event_data(const struct kvss_event *ev)
{
    SCOPED_LOCK(&ev->task.session->lock);
    return ev->member->data;
}

void kvss_event_set_data(struct kvss_event *ev, void *data)
{
    SCOPED_LOCK(&ev->task.session->lock);
    ev->member->data = data;
}

size_t kvss_event_component_count(const struct kvss_event *ev)
{
    return ev->n_components;
}

struct kvss_component *kvss_event_component(struct kvss_event *ev, size_t i)
{
    return i < ev->n_components ? &ev->components[i] : NULL;
}

static bool is_writer_error(uint32_t hresult)
{
    return hresult == VSS_E_WRITERERROR_PARTIAL_FAILURE || hresult == VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT ||
           hresult == VSS_E_WRITERERROR_OUTOFRESOURCES || hresult == VSS_E_WRITERERROR_TIMEOUT || hresult == VSS_E_WRITERERROR_RETRYABLE ||
           hresult == VSS_E_WRITERERROR_NONRETRYABLE;
}

void kvss_set_writer_failure(struct kvss_event *ev, uint32_t hresult, const char *fmt, ...)
{
    char text[KVSS_ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    SCOPED_LOCK(&ev->task.session->lock);
    if (ev->closed || ev->failure != VSS_S_OK)
        return;
    ev->failure = is_writer_error(hresult) ? hresult : VSS_E_WRITERERROR_NONRETRYABLE;
    ev->failure_text = pool_copy(&ev->task.session->strings, text);
}

/* ---- Components: reading --------------------------------------------------------------------------------------------------*/

static pthread_mutex_t *component_lock(const struct kvss_component *c)
{
    return &c->event->task.session->lock;
}

#define COMPONENT_GETTER(type, name, field)                    \
    type kvss_component_##name(const struct kvss_component *c) \
    {                                                          \
        SCOPED_LOCK(component_lock(c));                        \
        return c->bc->field;                                   \
    }
COMPONENT_GETTER(const char *, name, name)
COMPONENT_GETTER(const char *, logical_path, logical_path)
COMPONENT_GETTER(bool, backup_succeeded, backup_succeeded)
COMPONENT_GETTER(const char *, backup_options, backup_options)
COMPONENT_GETTER(const char *, previous_stamp, previous_stamp)
COMPONENT_GETTER(const char *, backup_stamp, backup_stamp)
COMPONENT_GETTER(const char *, backup_metadata, backup_metadata)
COMPONENT_GETTER(bool, selected_for_restore, selected_for_restore)
COMPONENT_GETTER(const char *, restore_options, restore_options)
COMPONENT_GETTER(bool, additional_restores, additional_restores)
COMPONENT_GETTER(enum vss_file_restore_status, file_restore_status, file_restore_status)
COMPONENT_GETTER(const char *, restore_metadata, restore_metadata)
COMPONENT_GETTER(size_t, new_target_count, n_targets)
COMPONENT_GETTER(size_t, alternate_location_count, n_mappings)

enum vss_restore_target kvss_component_restore_target(const struct kvss_component *c)
{
    SCOPED_LOCK(component_lock(c));
    return c->bc->restore_target == VSS_RT_UNDEFINED ? VSS_RT_ORIGINAL : c->bc->restore_target;
}

struct kvss_alternate_location kvss_component_alternate_location(const struct kvss_component *c, size_t i)
{
    SCOPED_LOCK(component_lock(c));
    if (i >= c->bc->n_mappings)
        return (struct kvss_alternate_location){ 0 };
    const struct vss_alternate_location *m = &c->bc->mappings[i];
    return (struct kvss_alternate_location){ m->path, m->filespec, m->recursive, m->destination };
}

struct kvss_new_target kvss_component_new_target(const struct kvss_component *c, size_t i)
{
    SCOPED_LOCK(component_lock(c));
    return i < c->bc->n_targets ? c->bc->targets[i] : (struct kvss_new_target){ 0 };
}

/* ---- Components: writing --------------------------------------------------------------------------------------------------*/

/* With the lock held. */
static int check_open(const struct kvss_component *c, struct err *err)
{
    if (c->event->closed)
        return err_set(err, ESHUTDOWN, "component '%s': the handler exceeded its time limit, and its answer no longer counts", c->bc->name);
    return 0;
}

/* The documents are part of what BackupComplete says is complete. */
static int check_in_time(const struct kvss_component *c, const char *what, struct err *err)
{
    if (c->event->kind == EVENT_BACKUP_COMPLETE)
        return err_vss(err, VSS_E_BAD_STATE, EPROTO,
                       "component '%s': %s set too late in BackupComplete, the backup is already written: set it in PostSnapshot",
                       c->bc->name, what);
    return 0;
}

static int event_set_text(struct kvss_component *c, const char **field, const char *text, size_t max, const char *what, struct err *err)
{
    SCOPED_LOCK(component_lock(c));
    int r = check_open(c, err);

    if (r < 0)
        return r;
    r = components_set_text(c->event->task.session->doc, field, text, max, what, err);
    if (r < 0)
        err_context(err, "component '%s'", c->bc->name);
    return r;
}

int kvss_component_set_backup_stamp(struct kvss_component *c, const char *stamp, struct err *err)
{
    int r = check_in_time(c, "backup stamp", err);

    return r < 0 ? r : event_set_text(c, &c->bc->backup_stamp, stamp, TEXT_METADATA_MAX, "backup stamp", err);
}

int kvss_component_set_backup_metadata(struct kvss_component *c, const char *text, struct err *err)
{
    int r = check_in_time(c, "backup metadata", err);

    return r < 0 ? r : event_set_text(c, &c->bc->backup_metadata, text, TEXT_METADATA_MAX, "backup metadata", err);
}

int kvss_component_set_restore_metadata(struct kvss_component *c, const char *text, struct err *err)
{
    return event_set_text(c, &c->bc->restore_metadata, text, TEXT_METADATA_MAX, "restore metadata", err);
}

int kvss_component_set_pre_restore_failure(struct kvss_component *c, const char *text, struct err *err)
{
    return event_set_text(c, &c->bc->pre_restore_failure, text, TEXT_MESSAGE_MAX, "failure message", err);
}

int kvss_component_set_post_restore_failure(struct kvss_component *c, const char *text, struct err *err)
{
    return event_set_text(c, &c->bc->post_restore_failure, text, TEXT_MESSAGE_MAX, "failure message", err);
}

int kvss_component_set_failure(struct kvss_component *c, uint32_t hresult, const char *text, struct err *err)
{
    if (hresult == VSS_S_OK)
        return err_set(err, EINVAL, "component '%s': code 0 is not a failure", c->bc->name);
    int r = event_set_text(c, &c->bc->failure_text, text, TEXT_MESSAGE_MAX, "failure message", err);
    if (r < 0)
        return r;
    SCOPED_LOCK(component_lock(c));
    c->bc->failure = hresult;
    return 0;
}

int kvss_component_set_restore_target(struct kvss_component *c, enum vss_restore_target target, struct err *err)
{
    SCOPED_LOCK(component_lock(c));
    int r = check_open(c, err);

    if (r < 0)
        return r;
    if (c->event->kind != EVENT_PRE_RESTORE)
        return err_vss(err, VSS_E_BAD_STATE, EPROTO, "component '%s': a restore target can only be set in PreRestore", c->bc->name);
    if (target < VSS_RT_ORIGINAL || target > VSS_RT_ORIGINAL_LOCATION)
        return err_set(err, EINVAL, "component '%s': %d is not a VSS restore target", c->bc->name, (int)target);
    c->bc->restore_target = target;
    return 0;
}
