/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/components.h"
#include "vss/form.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

#define XMLNS "x-schema:#VssComponentMetadata"
#define VERSION "1.2"

/* ---- Writing --------------------------------------------------------------------------------------------------------------*/

/* An element of one attribute, if there is a text for it. */
static void put_text(struct form *f, xmlNodePtr parent, const char *element, const char *attr, const char *text)
{
    if (text)
        form_text(f, form_add(f, parent, element), attr, text);
}

static void put_moved(struct form *f, xmlNodePtr parent, const char *element, const struct vss_alternate_location *m)
{
    xmlNodePtr node = form_add(f, parent, element);

    form_text(f, node, "path", m->path);
    form_text(f, node, "filespec", m->filespec);
    form_bool(f, node, "recursive", m->recursive);
    form_text(f, node, "alternatePath", m->destination);
}

static void put_lists(struct form *f, xmlNodePtr node, const struct bc_component *c)
{
    put_text(f, node, "BACKUP_METADATA", "metadata", c->backup_metadata);
    put_text(f, node, "RESTORE_METADATA", "metadata", c->restore_metadata);
    if (c->failure != VSS_S_OK) {
        xmlNodePtr failure = form_add(f, node, "COMPONENT_FAILURE");
        form_hex(f, failure, "hresult", c->failure);
        form_text(f, failure, "failureMessage", c->failure_text);
    }
    put_text(f, node, "PRERESTORE_FAILURE", "failureMessage", c->pre_restore_failure);
    put_text(f, node, "POSTRESTORE_FAILURE", "failureMessage", c->post_restore_failure);
    for (size_t i = 0; i < c->n_mappings; i++)
        put_moved(f, node, "ALTERNATE_LOCATION_MAPPING", &c->mappings[i]);
    for (size_t i = 0; i < c->n_subcomponents; i++) {
        xmlNodePtr sub = form_add(f, node, "RESTORE_SUBCOMPONENT");
        form_text(f, sub, "logicalPath", c->subcomponents[i].logical_path);
        form_text(f, sub, "componentName", c->subcomponents[i].name);
    }
    for (size_t i = 0; i < c->n_targets; i++) {
        const struct kvss_new_target *t = &c->targets[i];
        put_moved(f, node, "NEW_TARGET", &(struct vss_alternate_location){ t->path, t->filespec, t->new_path, t->recursive });
    }
}

static void components_xml_put_component(struct form *f, xmlNodePtr parent, const struct bc_component *c)
{
    xmlNodePtr node = form_add(f, parent, "COMPONENT");

    form_word(f, node, "componentType", &words_component_type, c->type);
    form_text(f, node, "logicalPath", c->logical_path);
    form_text(f, node, "componentName", c->name);
    form_bool(f, node, "backupSucceeded", c->backup_succeeded);
    form_text(f, node, "backupOptions", c->backup_options);
    form_text(f, node, "restoreOptions", c->restore_options);
    form_text(f, node, "backupStamp", c->backup_stamp);
    form_text(f, node, "previousBackupStamp", c->previous_stamp);
    form_bool(f, node, "selectedForRestore", c->selected_for_restore);
    form_bool(f, node, "additionalRestores", c->additional_restores);
    form_word(f, node, "restoreTarget", &words_restore_target, c->restore_target);
    form_word(f, node, "fileRestoreStatus", &words_file_restore_status, c->file_restore_status);
    put_lists(f, node, c);
}

static void put_snapshot_set(struct form *f, xmlNodePtr root, const struct bc_document *doc)
{
    xmlNodePtr set = form_add(f, root, "SNAPSHOT_SET_DESCRIPTION");

    form_text(f, set, "snapshotSetId", doc->set_id);
    form_hex(f, set, "context", doc->context);
    for (size_t i = 0; i < doc->n_snapshots; i++) {
        const struct bc_snapshot *s = &doc->snapshots[i];
        xmlNodePtr node = form_add(f, set, "SNAPSHOT_DESCRIPTION");
        form_text(f, node, "snapshotId", s->id);
        form_text(f, node, "originalVolumeName", s->volume);
        form_text(f, node, "providerId", s->provider_id);
        form_hex(f, node, "snapshotAttributes", s->attributes);
        form_number(f, node, "creationTimestamp", (uint64_t)s->created_us);
    }
}

int components_format(const struct bc_document *doc, char **ret_xml, struct err *err)
{
    struct form f;
    xmlNodePtr root = form_begin(&f, "BACKUP_COMPONENTS", XMLNS, VERSION);

    form_bool(&f, root, "selectComponents", doc->select_components);
    form_bool(&f, root, "bootableSystemStateBackup", doc->bootable_state);
    form_word(&f, root, "backupType", &words_backup_type, doc->backup_type);
    form_bool(&f, root, "partialFileSupport", doc->partial_files);
    for (size_t i = 0; i < doc->n_writers; i++) {
        const struct bc_writer *w = doc->writers[i];
        xmlNodePtr node = form_add(&f, root, "WRITER_COMPONENTS");
        form_text(&f, node, "writerId", w->id);
        form_text(&f, node, "instanceId", w->instance_id);
        form_word(&f, node, "backupType", &words_backup_type, w->backup_type);
        for (size_t k = 0; k < w->n_components; k++)
            components_xml_put_component(&f, node, w->components[k]);
    }
    if (doc->set_id)
        put_snapshot_set(&f, root, doc);
    return form_end(&f, ret_xml, err);
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------*/

static struct vss_alternate_location get_moved(struct reader *rd, xmlNodePtr node)
{
    struct vss_alternate_location m = {
        .path = reader_text(rd, node, "path", TEXT_PATH_MAX),
        .filespec = reader_text(rd, node, "filespec", TEXT_NAME_MAX),
        .recursive = reader_bool(rd, node, "recursive"),
        .destination = reader_text(rd, node, "alternatePath", TEXT_PATH_MAX),
    };

    reader_end(rd, node, true);
    return m;
}

static void get_failure(struct reader *rd, xmlNodePtr node, struct bc_component *c)
{
    c->failure = reader_hex(rd, node, "hresult");
    c->failure_text = reader_opt_text(rd, node, "failureMessage", TEXT_MESSAGE_MAX);
    reader_end(rd, node, true);
    if (rd->r == 0 && c->failure == VSS_S_OK)
        reader_fail(rd, node, "a failure cannot have code 0");
}

static void get_subcomponent(struct reader *rd, xmlNodePtr node, struct bc_document *doc, struct bc_component *c)
{
    struct bc_subcomponent sub = {
        .logical_path = reader_text(rd, node, "logicalPath", TEXT_PATH_MAX),
        .name = reader_text(rd, node, "componentName", TEXT_NAME_MAX),
    };

    reader_end(rd, node, true);
    if (rd->r == 0)
        reader_check(rd, node, components_add_subcomponent(doc, c, &sub, rd->err));
}

static void get_target(struct reader *rd, xmlNodePtr node, struct bc_document *doc, struct bc_component *c)
{
    struct vss_alternate_location m = get_moved(rd, node);
    struct kvss_new_target t = { m.path, m.filespec, m.recursive, m.destination };

    if (rd->r == 0)
        reader_check(rd, node, components_add_target(doc, c, &t, rd->err));
}

static void get_mapping(struct reader *rd, xmlNodePtr node, struct bc_document *doc, struct bc_component *c)
{
    struct vss_alternate_location m = get_moved(rd, node);

    if (rd->r == 0)
        reader_check(rd, node, components_add_mapping(doc, c, &m, rd->err));
}

/* Elements that come at most once, each a text. */
static const char **single_text(struct bc_component *c, xmlNodePtr node, const char **ret_attr, size_t *ret_max)
{
    bool backup = reader_is(node, "BACKUP_METADATA");

    *ret_attr = "metadata";
    *ret_max = TEXT_METADATA_MAX;
    if (backup || reader_is(node, "RESTORE_METADATA"))
        return backup ? &c->backup_metadata : &c->restore_metadata;
    *ret_attr = "failureMessage";
    *ret_max = TEXT_MESSAGE_MAX;
    if (reader_is(node, "PRERESTORE_FAILURE"))
        return &c->pre_restore_failure;
    return reader_is(node, "POSTRESTORE_FAILURE") ? &c->post_restore_failure : NULL;
}

/* Place of an element in the order in which they are written; -1: unknown. */
static int rank(xmlNodePtr node)
{
    static const char *const order[] = {
        "BACKUP_METADATA",     "RESTORE_METADATA",           "COMPONENT_FAILURE",    "PRERESTORE_FAILURE",
        "POSTRESTORE_FAILURE", "ALTERNATE_LOCATION_MAPPING", "RESTORE_SUBCOMPONENT", "NEW_TARGET",
    };

    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        if (reader_is(node, order[i]))
            return (int)i;
    return -1;
}

#define RANK_FIRST_LIST 5 /* from here on an element may come again */

static void get_list_element(struct reader *rd, xmlNodePtr n, struct bc_document *doc, struct bc_component *c)
{
    const char *attr;
    size_t max;
    const char **field = single_text(c, n, &attr, &max);

    if (field) {
        *field = reader_text(rd, n, attr, max);
        reader_end(rd, n, true);
    } else if (reader_is(n, "COMPONENT_FAILURE")) {
        get_failure(rd, n, c);
    } else if (reader_is(n, "ALTERNATE_LOCATION_MAPPING")) {
        get_mapping(rd, n, doc, c);
    } else if (reader_is(n, "RESTORE_SUBCOMPONENT")) {
        get_subcomponent(rd, n, doc, c);
    } else {
        get_target(rd, n, doc, c);
    }
}

static void get_lists(struct reader *rd, xmlNodePtr node, struct bc_document *doc, struct bc_component *c)
{
    int last = -1;

    for (xmlNodePtr n = NULL; (n = reader_next(rd, node, n));) {
        int now = rank(n);
        if (now < 0 || now < last || (now == last && now < RANK_FIRST_LIST)) {
            reader_unexpected(rd, n);
            return;
        }
        last = now;
        get_list_element(rd, n, doc, c);
    }
}

static void get_attributes(struct reader *rd, xmlNodePtr node, struct bc_component *c)
{
    c->backup_succeeded = reader_bool(rd, node, "backupSucceeded");
    c->backup_options = reader_opt_text(rd, node, "backupOptions", TEXT_METADATA_MAX);
    c->restore_options = reader_opt_text(rd, node, "restoreOptions", TEXT_METADATA_MAX);
    c->backup_stamp = reader_opt_text(rd, node, "backupStamp", TEXT_METADATA_MAX);
    c->previous_stamp = reader_opt_text(rd, node, "previousBackupStamp", TEXT_METADATA_MAX);
    c->selected_for_restore = reader_bool(rd, node, "selectedForRestore");
    c->additional_restores = reader_bool(rd, node, "additionalRestores");
    c->restore_target = (enum vss_restore_target)reader_opt_word(rd, node, "restoreTarget", &words_restore_target);
    c->file_restore_status = (enum vss_file_restore_status)reader_opt_word(rd, node, "fileRestoreStatus", &words_file_restore_status);
    reader_end(rd, node, false);
}

static void components_xml_get_component(struct reader *rd, xmlNodePtr node, struct bc_document *doc, struct bc_writer *w)
{
    struct bc_component *c = NULL;

    if (!reader_is(node, "COMPONENT")) {
        reader_unexpected(rd, node);
        return;
    }
    enum vss_component_type type = (enum vss_component_type)reader_word(rd, node, "componentType", &words_component_type);
    const char *logical_path = reader_text(rd, node, "logicalPath", TEXT_PATH_MAX);
    const char *name = reader_text(rd, node, "componentName", TEXT_NAME_MAX);
    if (rd->r == 0)
        reader_check(rd, node, components_add(doc, w, type, logical_path, name, &c, rd->err));
    if (rd->r == 0)
        get_attributes(rd, node, c);
    if (rd->r == 0)
        get_lists(rd, node, doc, c);
}

static void get_writer(struct reader *rd, xmlNodePtr node, struct bc_document *doc)
{
    struct bc_writer *w = NULL;
    const char *id = reader_guid(rd, node, "writerId");
    const char *instance_id = reader_guid(rd, node, "instanceId");
    enum vss_backup_type type = (enum vss_backup_type)reader_word(rd, node, "backupType", &words_backup_type);

    reader_end(rd, node, false);
    if (rd->r == 0)
        reader_check(rd, node, components_add_writer(doc, id, instance_id, &w, rd->err));
    if (rd->r < 0)
        return;
    w->backup_type = type;
    for (xmlNodePtr n = NULL; (n = reader_next(rd, node, n));)
        components_xml_get_component(rd, n, doc, w);
}

static void get_snapshot_set(struct reader *rd, xmlNodePtr node, struct bc_document *doc)
{
    doc->set_id = reader_guid(rd, node, "snapshotSetId");
    doc->context = reader_hex(rd, node, "context");
    reader_end(rd, node, false);
    for (xmlNodePtr n = NULL; (n = reader_next(rd, node, n));) {
        if (!reader_is(n, "SNAPSHOT_DESCRIPTION")) {
            reader_unexpected(rd, n);
            return;
        }
        struct bc_snapshot s = {
            .id = reader_guid(rd, n, "snapshotId"),
            .volume = reader_text(rd, n, "originalVolumeName", TEXT_PATH_MAX),
            .provider_id = reader_guid(rd, n, "providerId"),
            .attributes = reader_hex(rd, n, "snapshotAttributes"),
            .created_us = (int64_t)reader_number(rd, n, "creationTimestamp", INT64_MAX),
        };
        reader_end(rd, n, true);
        if (rd->r == 0)
            reader_check(rd, n, components_add_snapshot(doc, &s, rd->err));
    }
}

static void get_document(struct reader *rd, xmlNodePtr root, struct bc_document *doc)
{
    doc->select_components = reader_bool(rd, root, "selectComponents");
    doc->bootable_state = reader_bool(rd, root, "bootableSystemStateBackup");
    doc->backup_type = (enum vss_backup_type)reader_word(rd, root, "backupType", &words_backup_type);
    doc->partial_files = reader_bool(rd, root, "partialFileSupport");
    reader_end(rd, root, false);
    for (xmlNodePtr n = NULL; (n = reader_next(rd, root, n));) {
        if (reader_is(n, "WRITER_COMPONENTS") && !doc->set_id)
            get_writer(rd, n, doc);
        else if (reader_is(n, "SNAPSHOT_SET_DESCRIPTION") && !doc->set_id)
            get_snapshot_set(rd, n, doc);
        else
            reader_unexpected(rd, n);
    }
}

int components_parse(const char *xml, struct bc_document **ret, struct err *err)
{
    _cleanup_components_ struct bc_document *doc = NULL;
    _cleanup_xml_ xmlDocPtr xml_doc = NULL;
    struct err local = ERR_INIT;
    int r = components_new(&doc, err);

    if (r < 0)
        return r;
    struct reader rd = { .what = "backup components document", .xmlns = XMLNS, .pool = &doc->strings, .err = err ? err : &local };
    xmlNodePtr root = reader_begin(&rd, xml, "BACKUP_COMPONENTS", VERSION, &xml_doc);
    if (root)
        get_document(&rd, root, doc);
    if (rd.r < 0)
        return rd.r;
    *ret = TAKE_PTR(doc);
    return 0;
}
