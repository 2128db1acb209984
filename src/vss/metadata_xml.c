/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/form.h"
#include "vss/metadata.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

#define XMLNS "x-schema:#VssWriterMetadataInfo"
#define VERSION "1.1"

/* ---- Writing --------------------------------------------------------------------------------------------------------------*/

static void put_place(struct form *f, xmlNodePtr node, const char *path, const char *filespec, bool recursive)
{
    form_text(f, node, "path", path);
    form_text(f, node, "filespec", filespec);
    form_bool(f, node, "recursive", recursive);
}

static void put_restore_method(struct form *f, xmlNodePtr root, const struct vss_writer_info *w)
{
    xmlNodePtr node = form_add(f, root, "RESTORE_METHOD");

    form_word(f, node, "method", &words_restore_method, w->restore_method);
    form_text(f, node, "service", w->service);
    form_word(f, node, "writerRestore", &words_writer_restore, w->writer_restore);
    form_bool(f, node, "rebootRequired", w->reboot);
    for (size_t i = 0; i < w->n_locations; i++) {
        xmlNodePtr loc = form_add(f, node, "ALTERNATE_LOCATION_MAPPING");
        put_place(f, loc, w->locations[i].path, w->locations[i].filespec, w->locations[i].recursive);
        form_text(f, loc, "alternatePath", w->locations[i].destination);
    }
}

static const char *const file_elements[] = {
    [KVSS_FILES_GROUP] = "FILE_LIST",
    [KVSS_FILES_DATABASE] = "DATABASE_FILES",
    [KVSS_FILES_DATABASE_LOG] = "DATABASE_LOGFILES",
};

static void metadata_xml_put_component(struct form *f, xmlNodePtr parent, const struct vss_component_info *c)
{
    xmlNodePtr node = form_add(f, parent, c->type == VSS_CT_DATABASE ? "DATABASE" : "FILE_GROUP");

    form_text(f, node, "logicalPath", c->logical_path);
    form_text(f, node, "componentName", c->name);
    form_text(f, node, "caption", c->caption);
    form_bool(f, node, "restoreMetadata", c->restore_metadata);
    form_bool(f, node, "notifyOnBackupComplete", c->notify_on_backup_complete);
    form_bool(f, node, "selectable", c->selectable);
    form_bool(f, node, "selectableForRestore", c->selectable_for_restore);
    form_number(f, node, "componentFlags", c->flags);
    for (size_t i = 0; i < c->n_files; i++) {
        xmlNodePtr files = form_add(f, node, file_elements[c->files[i].kind]);
        put_place(f, files, c->files[i].path, c->files[i].filespec, c->files[i].recursive);
        form_text(f, files, "alternatePath", c->files[i].alternate_path);
        form_number(f, files, "filespecBackupType", c->files[i].backup_type_mask);
    }
    for (size_t i = 0; i < c->n_dependencies; i++) {
        xmlNodePtr on = form_add(f, node, "DEPENDENCY");
        form_text(f, on, "onWriterId", c->dependencies[i].writer_id);
        form_text(f, on, "onLogicalPath", c->dependencies[i].logical_path);
        form_text(f, on, "onComponentName", c->dependencies[i].component);
    }
}

int metadata_format(const struct kvss_metadata *md, char **ret_xml, struct err *err)
{
    const struct vss_writer_info *w = &md->info;
    struct form f;
    xmlNodePtr root = form_begin(&f, "WRITER_METADATA", XMLNS, VERSION);

    form_number(&f, root, "backupSchema", w->backup_schema);
    xmlNodePtr id = form_add(&f, root, "IDENTIFICATION");
    form_text(&f, id, "writerId", w->id);
    form_text(&f, id, "instanceId", w->instance_id);
    form_text(&f, id, "friendlyName", w->name);
    form_word(&f, id, "usage", &words_usage, w->usage);
    form_word(&f, id, "dataSource", &words_source, w->source);
    put_restore_method(&f, root, w);
    xmlNodePtr locations = form_add(&f, root, "BACKUP_LOCATIONS");
    for (size_t i = 0; i < w->n_excludes; i++)
        put_place(&f, form_add(&f, locations, "EXCLUDE_FILES"), w->excludes[i].path, w->excludes[i].filespec, w->excludes[i].recursive);
    for (size_t i = 0; i < w->n_components; i++)
        metadata_xml_put_component(&f, locations, &w->components[i]);
    return form_end(&f, ret_xml, err);
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------*/

struct metadata_xml_place {
    const char *path, *filespec;
    bool recursive;
};

static struct metadata_xml_place get_place(struct reader *rd, xmlNodePtr node)
{
    return (struct metadata_xml_place){
        .path = reader_text(rd, node, "path", TEXT_PATH_MAX),
        .filespec = reader_text(rd, node, "filespec", TEXT_NAME_MAX),
        .recursive = reader_bool(rd, node, "recursive"),
    };
}

/* The identification comes first: the document cannot be begun without it. */
static struct kvss_metadata *get_identification(struct reader *rd, xmlNodePtr node)
{
    struct kvss_metadata *md = NULL;

    if (!reader_is(node, "IDENTIFICATION")) {
        reader_fail(rd, node, "expected <IDENTIFICATION>");
        return NULL;
    }
    const char *id = reader_guid(rd, node, "writerId");
    const char *instance_id = reader_guid(rd, node, "instanceId");
    const char *name = reader_text(rd, node, "friendlyName", TEXT_NAME_MAX);
    enum vss_usage usage = (enum vss_usage)reader_word(rd, node, "usage", &words_usage);
    enum vss_source source = (enum vss_source)reader_word(rd, node, "dataSource", &words_source);
    reader_end(rd, node, true);
    if (rd->r == 0)
        reader_check(rd, node, metadata_new(name, id, instance_id, usage, source, &md, rd->err));
    return md;
}

static void get_restore_method(struct reader *rd, xmlNodePtr node, struct kvss_metadata *md)
{
    if (!reader_is(node, "RESTORE_METHOD")) {
        reader_fail(rd, node, "expected <RESTORE_METHOD>");
        return;
    }
    enum vss_restore_method method = (enum vss_restore_method)reader_word(rd, node, "method", &words_restore_method);
    const char *service = reader_opt_text(rd, node, "service", TEXT_NAME_MAX);
    enum vss_writer_restore when = (enum vss_writer_restore)reader_word(rd, node, "writerRestore", &words_writer_restore);
    bool reboot = reader_bool(rd, node, "rebootRequired");
    reader_end(rd, node, false);
    if (rd->r == 0)
        reader_check(rd, node, kvss_md_set_restore_method(md, method, service, when, reboot, rd->err));
    for (xmlNodePtr n = NULL; (n = reader_next(rd, node, n));) {
        if (!reader_is(n, "ALTERNATE_LOCATION_MAPPING")) {
            reader_unexpected(rd, n);
            return;
        }
        struct metadata_xml_place p = get_place(rd, n);
        const char *destination = reader_text(rd, n, "alternatePath", TEXT_PATH_MAX);
        reader_end(rd, n, true);
        if (rd->r == 0)
            reader_check(rd, n, kvss_md_add_alternate_location(md, p.path, p.filespec, p.recursive, destination, rd->err));
    }
}

static void get_files(struct reader *rd, xmlNodePtr node, struct kvss_metadata *md, enum kvss_file_kind kind)
{
    struct metadata_xml_place p = get_place(rd, node);
    struct kvss_md_files f = { .kind = kind, .path = p.path, .filespec = p.filespec, .recursive = p.recursive };

    f.alternate_path = reader_opt_text(rd, node, "alternatePath", TEXT_PATH_MAX);
    f.backup_type_mask = (uint32_t)reader_number(rd, node, "filespecBackupType", UINT32_MAX);
    reader_end(rd, node, true);
    if (rd->r == 0 && f.backup_type_mask == 0)
        reader_fail(rd, node, "these files belong to no type of backup");
    if (rd->r == 0)
        reader_check(rd, node, metadata_add_files(md, md->info.n_components - 1, &f, rd->err));
}

static void get_dependency(struct reader *rd, xmlNodePtr node, struct kvss_metadata *md)
{
    struct vss_dependency on = {
        .writer_id = reader_guid(rd, node, "onWriterId"),
        .logical_path = reader_text(rd, node, "onLogicalPath", TEXT_PATH_MAX),
        .component = reader_text(rd, node, "onComponentName", TEXT_NAME_MAX),
    };

    reader_end(rd, node, true);
    if (rd->r == 0)
        reader_check(rd, node, metadata_add_dependency(md, md->info.n_components - 1, &on, rd->err));
}

/* File sets and dependencies of the component that was added last. As they were written: dependencies behind the files. */
static void get_component_lists(struct reader *rd, xmlNodePtr node, struct kvss_metadata *md)
{
    bool behind_files = false;

    for (xmlNodePtr n = NULL; (n = reader_next(rd, node, n));) {
        int kind = -1;
        for (size_t i = 0; i < ARRAY_SIZE(file_elements); i++)
            if (reader_is(n, file_elements[i]))
                kind = (int)i;
        if (kind >= 0 && !behind_files) {
            get_files(rd, n, md, (enum kvss_file_kind)kind);
        } else if (reader_is(n, "DEPENDENCY")) {
            behind_files = true;
            get_dependency(rd, n, md);
        } else {
            reader_unexpected(rd, n);
        }
    }
}

static void metadata_xml_get_component(struct reader *rd, xmlNodePtr node, struct kvss_metadata *md)
{
    struct kvss_md_component c = {
        .type = reader_is(node, "DATABASE") ? VSS_CT_DATABASE : VSS_CT_FILEGROUP,
        .logical_path = reader_text(rd, node, "logicalPath", TEXT_PATH_MAX),
        .name = reader_text(rd, node, "componentName", TEXT_NAME_MAX),
        .caption = reader_text(rd, node, "caption", TEXT_NAME_MAX),
        .restore_metadata = reader_bool(rd, node, "restoreMetadata"),
        .notify_on_backup_complete = reader_bool(rd, node, "notifyOnBackupComplete"),
        .selectable = reader_bool(rd, node, "selectable"),
        .selectable_for_restore = reader_bool(rd, node, "selectableForRestore"),
        .flags = (uint32_t)reader_number(rd, node, "componentFlags", UINT32_MAX),
    };

    reader_end(rd, node, false);
    if (rd->r == 0)
        reader_check(rd, node, kvss_md_add_component(md, &c, rd->err));
    if (rd->r == 0)
        get_component_lists(rd, node, md);
}

static void get_backup_locations(struct reader *rd, xmlNodePtr node, struct kvss_metadata *md)
{
    if (!reader_is(node, "BACKUP_LOCATIONS")) {
        reader_fail(rd, node, "expected <BACKUP_LOCATIONS>");
        return;
    }
    reader_end(rd, node, false);
    for (xmlNodePtr n = NULL; (n = reader_next(rd, node, n));) {
        if (reader_is(n, "EXCLUDE_FILES") && md->info.n_components == 0) {
            struct metadata_xml_place p = get_place(rd, n);
            reader_end(rd, n, true);
            if (rd->r == 0)
                reader_check(rd, n, kvss_md_add_exclude(md, p.path, p.filespec, p.recursive, rd->err));
        } else if (reader_is(n, "DATABASE") || reader_is(n, "FILE_GROUP")) {
            metadata_xml_get_component(rd, n, md);
        } else {
            reader_unexpected(rd, n);
        }
    }
}

/* The next element, which must be there. */
static xmlNodePtr need_next(struct reader *rd, xmlNodePtr root, xmlNodePtr last)
{
    xmlNodePtr node = reader_next(rd, root, last);

    if (!node)
        reader_fail(rd, root, "an element is missing");
    return node;
}

static void get_sections(struct reader *rd, xmlNodePtr root, uint32_t schema, struct kvss_metadata **md)
{
    xmlNodePtr id = need_next(rd, root, NULL);

    if (id)
        *md = get_identification(rd, id);
    if (rd->r == 0)
        reader_check(rd, root, kvss_md_set_backup_schema(*md, schema, rd->err));
    xmlNodePtr method = rd->r == 0 ? need_next(rd, root, id) : NULL;
    if (method)
        get_restore_method(rd, method, *md);
    xmlNodePtr locations = rd->r == 0 ? need_next(rd, root, method) : NULL;
    if (locations)
        get_backup_locations(rd, locations, *md);
    xmlNodePtr more = rd->r == 0 ? reader_next(rd, root, locations) : NULL;
    if (more)
        reader_unexpected(rd, more);
}

int metadata_parse(const char *xml, struct kvss_metadata **ret, struct err *err)
{
    struct pool scratch = { 0 };
    struct err local = ERR_INIT;
    struct reader rd = { .what = "writer metadata document", .xmlns = XMLNS, .pool = &scratch, .err = err ? err : &local };
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_metadata_ struct kvss_metadata *md = NULL;
    xmlNodePtr root = reader_begin(&rd, xml, "WRITER_METADATA", VERSION, &doc);

    if (root) {
        uint32_t schema = (uint32_t)reader_number(&rd, root, "backupSchema", UINT32_MAX);
        reader_end(&rd, root, false);
        if (rd.r == 0)
            get_sections(&rd, root, schema, &md);
    }
    pool_free(&scratch);
    if (rd.r < 0)
        return rd.r;
    *ret = TAKE_PTR(md);
    return 0;
}
