/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The requester's calls in a restore. The stored documents govern; Identify only tells which writers live now. */
#include "vss/dispatch.h"
#include "vss/session_state.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

int vss_initialize_for_restore(struct vss_session *v, const char *components_xml, struct err *err)
{
    struct session_step step;
    struct bc_document *doc = NULL;
    int r = session_enter(v, CALL_INITIALIZE_FOR_RESTORE, &step, err);

    if (r < 0)
        return r;
    if (!components_xml)
        return err_vss(err, VSS_E_INVALID_XML_DOCUMENT, EINVAL, "a restore needs the backup components document of the backup");
    r = components_parse(components_xml, &doc, err);
    if (r < 0)
        return r;
    components_free(v->doc);
    v->doc = doc;
    return session_leave(v, &step, 0);
}

int vss_load_writer_metadata(struct vss_session *v, const char *metadata_xml, struct err *err)
{
    _cleanup_metadata_ struct kvss_metadata *md = NULL;
    int r = session_check(v, CALL_LOAD_WRITER_METADATA, err);

    if (r < 0)
        return r;
    if (!metadata_xml)
        return err_vss(err, VSS_E_INVALID_XML_DOCUMENT, EINVAL, "a restore needs the writer metadata documents of the backup");
    r = metadata_parse(metadata_xml, &md, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < v->n_stored; i++)
        if (guid_equal(v->stored[i]->info.id, md->info.id))
            return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "the metadata of writer '%s' was already loaded", md->info.name);
    if (v->n_stored >= WRITERS_MAX)
        return err_set(err, E2BIG, "more than %zu writer metadata documents", WRITERS_MAX);
    if (!ARRAY_GROW(v->stored, v->n_stored))
        return err_nomem(err);
    v->stored[v->n_stored++] = TAKE_PTR(md);
    return 0;
}

/* ---- What is stored -------------------------------------------------------------------------------------------------------*/

size_t vss_stored_writer_count(const struct vss_session *v)
{
    return v->n_stored;
}

const struct vss_writer_info *vss_stored_writer_get(const struct vss_session *v, size_t i)
{
    return i < v->n_stored ? &v->stored[i]->info : NULL;
}

int vss_stored_metadata_xml(const struct vss_session *v, size_t i, char **ret_xml, struct err *err)
{
    if (i >= v->n_stored)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "there is no stored writer metadata number %zu", i);
    return metadata_format(v->stored[i], ret_xml, err);
}

int vss_stored_components_xml(const struct vss_session *v, char **ret_xml, struct err *err)
{
    if (!session_is_restore(v))
        return err_vss(err, VSS_E_BAD_STATE, EPROTO, "there is no stored document: the session is %s", state_name(v->state));
    return components_format(v->doc, ret_xml, err);
}

static const struct bc_writer *stored_writer(const struct vss_session *v, const char *writer_id)
{
    return session_is_restore(v) ? components_writer(v->doc, writer_id) : NULL;
}

size_t vss_stored_component_count(const struct vss_session *v, const char *writer_id)
{
    const struct bc_writer *w = stored_writer(v, writer_id);

    return w ? w->n_components : 0;
}

int vss_stored_component(const struct vss_session *v, const char *writer_id, size_t i, const char **ret_logical_path, const char **ret_name,
                         struct err *err)
{
    const struct bc_writer *w = stored_writer(v, writer_id);

    if (!w || i >= w->n_components)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "writer %s has no stored component number %zu", writer_id ? writer_id : "-", i);
    if (ret_logical_path)
        *ret_logical_path = w->components[i]->logical_path;
    if (ret_name)
        *ret_name = w->components[i]->name;
    return 0;
}

/* ---- Selection ------------------------------------------------------------------------------------------------------------*/

/* Refuses a call out of order, and finds the component that it is about; it must have been selected if asked. */
static int restore_find_component(struct vss_session *v, enum session_call call, const char *writer_id, const char *logical_path,
                                  const char *name, struct bc_component **ret, struct err *err)
{
    int r = session_check(v, call, err);

    return r < 0 ? r : session_component(v, writer_id, logical_path, name, ret, err);
}

static int need_selected(const struct bc_component *c, struct err *err)
{
    if (!c->selected_for_restore)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, EINVAL, "component '%s' is not selected for restore", c->name);
    return 0;
}

int vss_set_selected_for_restore(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, bool selected,
                                 struct err *err)
{
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_SET_SELECTED_FOR_RESTORE, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    if (selected && !session_member(v, writer_id))
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "component '%s' cannot be restored: its writer %s is not available here", name,
                       writer_id);
    c->selected_for_restore = selected;
    /* What an earlier restore may have left in the document does not count for this one. */
    c->file_restore_status = VSS_RS_UNDEFINED;
    c->restore_target = VSS_RT_UNDEFINED;
    c->restore_metadata = NULL;
    return 0;
}

static int check_subcomponent(const struct vss_session *v, const char *writer_id, const struct bc_component *whole,
                              const struct bc_subcomponent *sub, struct err *err)
{
    for (size_t i = 0; i < v->n_stored; i++) {
        const struct vss_writer_info *w = &v->stored[i]->info;
        int a = metadata_find(w, whole->logical_path, whole->name), b = metadata_find(w, sub->logical_path, sub->name);
        if (!guid_equal(w->id, writer_id) || a < 0 || b < 0 || a == b || !vss_component_in_set(w, (size_t)a, (size_t)b))
            continue;
        if (w->components[b].selectable_for_restore)
            return 0;
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, EINVAL, "component '%s' is not selectable for restore", sub->name);
    }
    return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "component '%s' does not belong to component '%s' in the stored metadata",
                   sub->name ? sub->name : "", whole->name);
}

int vss_add_restore_subcomponent(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                 const char *sub_logical_path, const char *sub_name, struct err *err)
{
    struct bc_subcomponent sub = { sub_logical_path, sub_name };
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_ADD_RESTORE_SUBCOMPONENT, writer_id, logical_path, name, &c, err);

    if (r < 0 || (r = check_subcomponent(v, writer_id, c, &sub, err)) < 0)
        return r;
    return components_add_subcomponent(v->doc, c, &sub, err);
}

int vss_set_restore_options(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, const char *options,
                            struct err *err)
{
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_SET_RESTORE_OPTIONS, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    return components_set_text(v->doc, &c->restore_options, options, TEXT_METADATA_MAX, "restore options", err);
}

int vss_add_new_target(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                       const struct kvss_new_target *target, struct err *err)
{
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_ADD_NEW_TARGET, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&v->lock);
    return components_add_target(v->doc, c, target, err);
}

static bool is_same_place(const struct vss_alternate_location *a, const struct vss_alternate_location *b)
{
    return b->path && b->filespec && b->destination && strcmp(a->path, b->path) == 0 && strcmp(a->filespec, b->filespec) == 0 &&
           a->recursive == b->recursive && strcmp(a->destination, b->destination) == 0;
}

int vss_add_alternative_location_mapping(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                         const struct vss_alternate_location *used, struct err *err)
{
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_ADD_ALTERNATIVE_LOCATION_MAPPING, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < v->n_stored; i++) {
        const struct vss_writer_info *w = &v->stored[i]->info;
        for (size_t k = 0; guid_equal(w->id, writer_id) && k < w->n_locations; k++)
            if (is_same_place(&w->locations[k], used))
                return components_add_mapping(v->doc, c, used, err);
    }
    return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "the stored metadata of writer %s has no alternate location '%s' for '%s'",
                   writer_id, used->destination ? used->destination : "", used->path ? used->path : "");
}

int vss_set_additional_restores(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name, bool more,
                                struct err *err)
{
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_SET_ADDITIONAL_RESTORES, writer_id, logical_path, name, &c, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&v->lock);
    c->additional_restores = more;
    return 0;
}

int vss_set_file_restore_status(struct vss_session *v, const char *writer_id, const char *logical_path, const char *name,
                                enum vss_file_restore_status status, struct err *err)
{
    struct bc_component *c = NULL;
    int r = restore_find_component(v, CALL_SET_FILE_RESTORE_STATUS, writer_id, logical_path, name, &c, err);

    if (r < 0 || (r = need_selected(c, err)) < 0)
        return r;
    if (status < VSS_RS_NONE || status > VSS_RS_FAILED)
        return err_set(err, EINVAL, "component '%s': %d is not a VSS file restore status", name, (int)status);
    SCOPED_LOCK(&v->lock);
    c->file_restore_status = status;
    return 0;
}

/* ---- Events ---------------------------------------------------------------------------------------------------------------*/

static bool has_selected(const struct bc_writer *w)
{
    for (size_t i = 0; w && i < w->n_components; i++)
        if (w->components[i]->selected_for_restore)
            return true;
    return false;
}

/* Whether the writer wants to hear of its restore: what is stored cannot keep it from one of which it would hear today. */
static bool wants_events(const struct vss_session *v, const struct vss_writer_info *here)
{
    for (size_t i = 0; i < v->n_stored; i++)
        if (guid_equal(v->stored[i]->info.id, here->id))
            return v->stored[i]->info.writer_restore != VSS_WRE_NEVER || here->writer_restore != VSS_WRE_NEVER;
    return true;
}

/* What is selected in a stored document was selected by an earlier restore; a writer that is not running cannot take part. */
static void restore_choose_members(struct vss_session *v)
{
    for (size_t i = 0; i < v->n_members; i++)
        v->members[i]->takes_part = has_selected(v->members[i]->bc) && wants_events(v, &v->members[i]->md->info);
}

int vss_pre_restore(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_PRE_RESTORE, &step, err);

    if (r < 0)
        return r;
    restore_choose_members(v);
    return session_leave(v, &step, dispatch_event(v, EVENT_PRE_RESTORE, NULL, err));
}

/* A requester owes a status for every component that it selected (behaviour 38). */
static int check_statuses(const struct vss_session *v, struct err *err)
{
    for (size_t i = 0; i < v->n_members; i++) {
        const struct bc_writer *w = v->members[i]->bc;
        for (size_t k = 0; w && k < w->n_components; k++)
            if (w->components[k]->selected_for_restore && w->components[k]->file_restore_status == VSS_RS_UNDEFINED)
                return err_vss(err, VSS_E_UNEXPECTED, EINVAL,
                               "component '%s' of writer '%s' was selected for restore, but no "
                               "file restore status was set",
                               w->components[k]->name, v->members[i]->entry->writer.name);
    }
    return 0;
}

int vss_post_restore(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_POST_RESTORE, &step, err);

    if (r < 0)
        return r;
    /* Writers must learn of it in any case: they turned VMs off. */
    r = dispatch_event(v, EVENT_POST_RESTORE, NULL, err);
    if (r == 0)
        r = check_statuses(v, err);
    return session_leave(v, &step, r);
}
