/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/metadata.h"
#include "base/guid.h"
#include "vss/vss_names.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

#define COMPONENT_FLAGS (VSS_CF_BACKUP_RECOVERY | VSS_CF_APP_ROLLBACK_RECOVERY | VSS_CF_NOT_SYSTEM_STATE)
#define FILE_MASK (VSS_FSBT_ALL_BACKUP_REQUIRED | VSS_FSBT_ALL_SNAPSHOT_REQUIRED | VSS_FSBT_CREATED_DURING_BACKUP)
#define SCHEMA_BITS \
    (VSS_BS_DIFFERENTIAL | VSS_BS_INCREMENTAL | VSS_BS_LOG | VSS_BS_COPY | VSS_BS_TIMESTAMPED | VSS_BS_WRITER_SUPPORTS_NEW_TARGET)

static int check_identity(const char *name, const char *id, const char *instance_id, enum vss_usage usage, enum vss_source source,
                          struct err *err)
{
    int r = text_check_name(name, TEXT_NAME_MAX, "writer name", err);

    if (r < 0)
        return r;
    if (!guid_parse(id, NULL))
        return err_set(err, EINVAL, "writer '%s': its id '%s' is not a GUID", name, id ? id : "");
    if (!guid_parse(instance_id, NULL))
        return err_set(err, EINVAL, "writer '%s': its instance id is not a GUID", name);
    if (!words_get(&words_usage, usage) || !words_get(&words_source, source))
        return err_set(err, EINVAL, "writer '%s': its usage or source type is not a VSS value", name);
    return 0;
}

int metadata_new(const char *name, const char *id, const char *instance_id, enum vss_usage usage, enum vss_source source,
                 struct kvss_metadata **ret, struct err *err)
{
    struct guid canonical, instance;
    int r = check_identity(name, id, instance_id, usage, source, err);

    if (r < 0)
        return r;
    _cleanup_metadata_ struct kvss_metadata *md = calloc(1, sizeof *md);
    if (!md)
        return err_nomem(err);
    guid_parse(id, &canonical);
    guid_parse(instance_id, &instance);
    if ((r = text_keep(&md->strings, name, &md->info.name, err)) < 0 ||
        (r = text_keep(&md->strings, canonical.text, &md->info.id, err)) < 0 ||
        (r = text_keep(&md->strings, instance.text, &md->info.instance_id, err)) < 0)
        return r;
    md->info.usage = usage;
    md->info.source = source;
    *ret = TAKE_PTR(md);
    return 0;
}

void metadata_free(struct kvss_metadata *md)
{
    if (!md)
        return;
    for (size_t i = 0; i < md->info.n_components; i++) {
        free(md->lists[i].files);
        free(md->lists[i].dependencies);
    }
    free(md->components);
    free(md->lists);
    free(md->excludes);
    free(md->locations);
    pool_free(&md->strings);
    free(md);
}

int metadata_find(const struct vss_writer_info *w, const char *logical_path, const char *name)
{
    for (size_t i = 0; name && i < w->n_components; i++)
        if (text_same_component(w->components[i].logical_path, w->components[i].name, logical_path, name))
            return (int)i;
    return -1;
}

int metadata_check(const struct kvss_metadata *md, struct err *err)
{
    if (md->info.restore_method == VSS_RME_UNDEFINED)
        return err_set(err, EINVAL, "writer '%s' has no restore method set", md->info.name);
    return 0;
}

/* ---- The calls of a writer in Identify ------------------------------------------------------------------------------------*/

int kvss_md_set_restore_method(struct kvss_metadata *md, enum vss_restore_method method, const char *service,
                               enum vss_writer_restore writer_restore, bool reboot, struct err *err)
{
    const char *kept = NULL;
    int r;

    if (!words_get(&words_restore_method, method))
        return err_set(err, EINVAL, "restore method %d is not a VSS value", (int)method);
    if (!words_get(&words_writer_restore, writer_restore))
        return err_set(err, EINVAL, "writer restore condition %d is not a VSS value", (int)writer_restore);
    if (service && (r = text_check_name(service, TEXT_NAME_MAX, "service name", err)) < 0)
        return r;
    if ((r = text_keep(&md->strings, service, &kept, err)) < 0)
        return r;
    md->info.restore_method = method;
    md->info.service = kept;
    md->info.writer_restore = writer_restore;
    md->info.reboot = reboot;
    return 0;
}

int kvss_md_set_backup_schema(struct kvss_metadata *md, uint32_t schema, struct err *err)
{
    if (schema & ~SCHEMA_BITS)
        return err_set(err, EINVAL, "backup schema 0x%x has unknown bits", schema);
    md->info.backup_schema = schema;
    return 0;
}

/* Where files are: a folder and a name without a folder in it. */
static int metadata_check_place(const char *path, const char *filespec, struct err *err)
{
    int r = text_check_name(path, TEXT_PATH_MAX, "path of a file set", err);

    if (r < 0)
        return r;
    r = text_check_name(filespec, TEXT_NAME_MAX, "file specification", err);
    if (r < 0)
        return r;
    if (strchr(filespec, '/'))
        return err_set(err, EINVAL, "file specification '%s' names a folder, which belongs in the path", filespec);
    return 0;
}

int kvss_md_add_exclude(struct kvss_metadata *md, const char *path, const char *filespec, bool recursive, struct err *err)
{
    struct vss_file_set set = { .kind = KVSS_FILES_GROUP, .recursive = recursive };
    int r = metadata_check_place(path, filespec, err);

    if (r < 0)
        return r;
    if (md->info.n_excludes >= FILES_MAX)
        return err_set(err, E2BIG, "writer '%s' excludes more than %zu file sets", md->info.name, FILES_MAX);
    if ((r = text_keep(&md->strings, path, &set.path, err)) < 0 || (r = text_keep(&md->strings, filespec, &set.filespec, err)) < 0)
        return r;
    if (!ARRAY_GROW(md->excludes, md->info.n_excludes))
        return err_nomem(err);
    md->excludes[md->info.n_excludes++] = set;
    md->info.excludes = md->excludes;
    return 0;
}

int kvss_md_add_alternate_location(struct kvss_metadata *md, const char *path, const char *filespec, bool recursive,
                                   const char *destination, struct err *err)
{
    struct vss_alternate_location loc = { .recursive = recursive };
    int r = metadata_check_place(path, filespec, err);

    if (r < 0 || (r = text_check_name(destination, TEXT_PATH_MAX, "destination of an alternate location", err)) < 0)
        return r;
    if (md->info.n_locations >= FILES_MAX)
        return err_set(err, E2BIG, "writer '%s' has more than %zu alternate locations", md->info.name, FILES_MAX);
    if ((r = text_keep(&md->strings, path, &loc.path, err)) < 0 || (r = text_keep(&md->strings, filespec, &loc.filespec, err)) < 0 ||
        (r = text_keep(&md->strings, destination, &loc.destination, err)) < 0)
        return r;
    if (!ARRAY_GROW(md->locations, md->info.n_locations))
        return err_nomem(err);
    md->locations[md->info.n_locations++] = loc;
    md->info.locations = md->locations;
    return 0;
}

static int metadata_check_component(const struct kvss_metadata *md, const struct kvss_md_component *c, struct err *err)
{
    int r = text_check_component(c->logical_path, c->name, err);

    if (r < 0 || (c->caption && (r = text_check(c->caption, TEXT_NAME_MAX, "caption", err)) < 0))
        return r;
    if (c->vm_name && (r = text_check(c->vm_name, TEXT_NAME_MAX, "name of a VM", err)) < 0)
        return r;
    if (!words_get(&words_component_type, c->type))
        return err_set(err, EINVAL, "component '%s' is neither a database nor a file group", c->name);
    if (c->flags & ~COMPONENT_FLAGS)
        return err_set(err, EINVAL, "component '%s' has unknown flags 0x%x", c->name, c->flags);
    if (metadata_find(&md->info, c->logical_path, c->name) >= 0)
        return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "writer '%s' already has component '%s'", md->info.name, c->name);
    if (md->info.n_components >= COMPONENTS_MAX)
        return err_set(err, E2BIG, "writer '%s' has more than %zu components", md->info.name, COMPONENTS_MAX);
    return 0;
}

int kvss_md_add_component(struct kvss_metadata *md, const struct kvss_md_component *c, struct err *err)
{
    struct vss_component_info info = {
        .type = c->type,
        .restore_metadata = c->restore_metadata,
        .notify_on_backup_complete = c->notify_on_backup_complete,
        .selectable = c->selectable,
        .selectable_for_restore = c->selectable_for_restore,
        .flags = c->flags,
    };
    size_t n = md->info.n_components;
    int r = metadata_check_component(md, c, err);

    if (r < 0 || (r = text_keep(&md->strings, c->name, &info.name, err)) < 0 ||
        (r = text_keep(&md->strings, c->logical_path ? c->logical_path : "", &info.logical_path, err)) < 0 ||
        (r = text_keep(&md->strings, c->caption ? c->caption : "", &info.caption, err)) < 0 ||
        (c->vm_name && (r = text_keep(&md->strings, c->vm_name, &info.vm_name, err)) < 0))
        return r;
    if (!ARRAY_GROW(md->components, n) || !ARRAY_GROW(md->lists, n))
        return err_nomem(err);
    md->components[n] = info;
    md->lists[n] = (struct metadata_lists){ 0 };
    md->info.components = md->components;
    md->info.n_components = n + 1;
    return 0;
}

static int metadata_check_files(const struct vss_component_info *c, const struct kvss_md_files *f, struct err *err)
{
    bool group = f->kind == KVSS_FILES_GROUP;
    int r = metadata_check_place(f->path, f->filespec, err);

    if (r < 0)
        return r;
    if (f->kind != KVSS_FILES_GROUP && f->kind != KVSS_FILES_DATABASE && f->kind != KVSS_FILES_DATABASE_LOG)
        return err_set(err, EINVAL, "component '%s': %d is not a kind of file set", c->name, (int)f->kind);
    if (group != (c->type == VSS_CT_FILEGROUP))
        return err_set(err, EINVAL, "component '%s': a file group contains files, a database contains database and log files", c->name);
    if (f->backup_type_mask & ~FILE_MASK)
        return err_set(err, EINVAL, "component '%s': file mask 0x%x has unknown bits", c->name, f->backup_type_mask);
    if (f->alternate_path && !group)
        return err_set(err, EINVAL, "component '%s': only files of a file group can have an alternate path", c->name);
    if (f->alternate_path && (r = text_check_name(f->alternate_path, TEXT_PATH_MAX, "alternate path", err)) < 0)
        return r;
    return f->vm_disk ? text_check_name(f->vm_disk, TEXT_NAME_MAX, "disk", err) : 0;
}

int metadata_add_files(struct kvss_metadata *md, size_t component, const struct kvss_md_files *f, struct err *err)
{
    struct vss_component_info *c = &md->components[component];
    struct metadata_lists *lists = &md->lists[component];
    struct vss_file_set set = {
        .kind = f->kind,
        .recursive = f->recursive,
        .backup_type_mask = f->backup_type_mask ? f->backup_type_mask : VSS_FSBT_DEFAULT,
    };
    int r = metadata_check_files(c, f, err);

    if (r < 0)
        return r;
    if (c->n_files >= FILES_MAX)
        return err_set(err, E2BIG, "component '%s' has more than %zu file sets", c->name, FILES_MAX);
    if ((r = text_keep(&md->strings, f->path, &set.path, err)) < 0 || (r = text_keep(&md->strings, f->filespec, &set.filespec, err)) < 0 ||
        (r = text_keep(&md->strings, f->alternate_path, &set.alternate_path, err)) < 0 ||
        (r = text_keep(&md->strings, f->vm_disk, &set.vm_disk, err)) < 0)
        return r;
    if (!ARRAY_GROW(lists->files, c->n_files))
        return err_nomem(err);
    lists->files[c->n_files++] = set;
    c->files = lists->files;
    return 0;
}

static int find_own(struct kvss_metadata *md, const char *logical_path, const char *name, struct err *err)
{
    int i = metadata_find(&md->info, logical_path, name);

    if (i < 0)
        return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT, "writer '%s' has no component '%s'", md->info.name, name ? name : "");
    return i;
}

int kvss_md_add_files(struct kvss_metadata *md, const char *logical_path, const char *component, const struct kvss_md_files *files,
                      struct err *err)
{
    int i = find_own(md, logical_path, component, err);

    return i < 0 ? i : metadata_add_files(md, (size_t)i, files, err);
}

/* A logical path of another computer begins with \\computer\. */
static int check_dependency(const struct kvss_metadata *md, const struct vss_dependency *on, struct err *err)
{
    const char *path = on->logical_path ? on->logical_path : "";

    if (!guid_parse(on->writer_id, NULL))
        return err_set(err, EINVAL, "a dependency names a writer by '%s', which is not a GUID", on->writer_id ? on->writer_id : "");
    if (guid_equal(on->writer_id, md->info.id))
        return err_set(err, EINVAL, "writer '%s' depends on itself", md->info.name);
    if (strncmp(path, "\\\\", 2) == 0)
        path += 2;
    return text_check_component(path, on->component, err);
}

int metadata_add_dependency(struct kvss_metadata *md, size_t component, const struct vss_dependency *on, struct err *err)
{
    struct vss_component_info *c = &md->components[component];
    struct metadata_lists *lists = &md->lists[component];
    struct vss_dependency d = { 0 };
    struct guid id;
    int r = check_dependency(md, on, err);

    if (r < 0)
        return r;
    if (c->n_dependencies >= DEPENDENCIES_MAX)
        return err_set(err, E2BIG, "component '%s' has more than %zu dependencies", c->name, DEPENDENCIES_MAX);
    guid_parse(on->writer_id, &id);
    if ((r = text_keep(&md->strings, id.text, &d.writer_id, err)) < 0 ||
        (r = text_keep(&md->strings, on->logical_path ? on->logical_path : "", &d.logical_path, err)) < 0 ||
        (r = text_keep(&md->strings, on->component, &d.component, err)) < 0)
        return r;
    if (!ARRAY_GROW(lists->dependencies, c->n_dependencies))
        return err_nomem(err);
    lists->dependencies[c->n_dependencies++] = d;
    c->dependencies = lists->dependencies;
    return 0;
}

int kvss_md_add_dependency(struct kvss_metadata *md, const char *logical_path, const char *component, const char *on_writer_id,
                           const char *on_logical_path, const char *on_component, struct err *err)
{
    struct vss_dependency on = { on_writer_id, on_logical_path, on_component };
    int i = find_own(md, logical_path, component, err);

    return i < 0 ? i : metadata_add_dependency(md, (size_t)i, &on, err);
}
