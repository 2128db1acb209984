/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a writer wants its files restored: the restore method of its stored metadata, the target that it may set in PreRestore, its alternate
 * locations, the service to be stopped. What cannot be honoured is refused before PreRestore, as far as it is known then. (VSS: Setting VSS
 * Restore Methods, Setting VSS Restore Targets, Working with Alternate Locations during Restore.) */
#include "base/io.h"
#include "base/io_at.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TO_FOLDER "extract the files with --files-to, and let the application take them from there"

static const struct vss_writer_info *stored_info(const struct restore *r, const char *id)
{
    for (size_t i = 0; i < vss_stored_writer_count(r->s->vss); i++)
        if (!strcasecmp(vss_stored_writer_get(r->s->vss, i)->id, id))
            return vss_stored_writer_get(r->s->vss, i);
    return NULL;
}

static int refuse_method(struct restore *r, const struct restore_files *f, struct err *err)
{
    r->rq->end = REQUESTER_REFUSED;
    return err_context(err, "writer %s, component %s", f->writer, f->component);
}

/* ---- Alternate locations ----------------------------------------------------------------------------------------------------------*/

static bool location_has(const struct vss_alternate_location *l, const json_t *e)
{
    const char *path = json_get_text(e, "path");
    _cleanup_free_ char *dir = io_dirname(path), *name = io_basename(path), *of = strndup(l->path, files_path_len(l->path));

    if (!dir || !name || !of || !io_is_below(path, of))
        return false;
    if (!strcmp(json_get_text(e, "type"), "folder"))
        return l->recursive;
    return (l->recursive || !strcmp(dir, of)) && vss_filespec_match(l->filespec, name);
}

static const struct vss_alternate_location *find_location(const struct vss_writer_info *w, const json_t *e)
{
    for (size_t i = 0; i < w->n_locations; i++)
        if (location_has(&w->locations[i], e))
            return &w->locations[i];
    return NULL;
}

static bool location_is_used(const struct restore_files *f, const struct vss_alternate_location *l)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(f->index, "files"), i, e)
        if (find_location(f->stored, e) == l)
            return true;
    return false;
}

/* -ENOENT: one of the files has none. */
static int map_entry(const struct vss_writer_info *w, json_t *e, struct err *err)
{
    const struct vss_alternate_location *l = find_location(w, e);
    const char *path = json_get_text(e, "path");

    if (!l)
        return err_set(err, ENOENT, "the writer declares no alternate location for %s", path);
    _cleanup_free_ char *of = strndup(l->path, files_path_len(l->path));
    _cleanup_free_ char *to = of ? str_format("%.*s%s", (int)files_path_len(l->destination), l->destination, io_beyond(path, of)) : NULL;
    if (!to)
        return err_nomem(err);
    if (!files_plain_path(to)) /* the restore point may be anybody's */
        return err_set(err, EUCLEAN, "the alternate location %s is not a plain path", l->destination);
    return json_object_set_new(e, "path", json_text(to)) == 0 ? 0 : err_nomem(err);
}

static json_t *list_used(const struct restore_files *f)
{
    json_t *list = json_array();

    for (size_t k = 0; list && k < f->stored->n_locations; k++)
        if (location_is_used(f, &f->stored->locations[k]))
            json_array_append_new(list, json_text(f->stored->locations[k].destination));
    return list;
}

/* Nobody else's file of this restore goes where one of its goes. */
static int check_alone(const struct restore *r, const struct restore_files *f, struct err *err)
{
    _cleanup_json_ json_t *taken = json_object();
    size_t i;
    json_t *e;
    int rc = taken ? 0 : err_nomem(err);

    for (size_t k = 0; k < r->n_files && rc >= 0; k++)
        json_array_foreach (json_object_get(&r->files[k] == f ? NULL : r->files[k].index, "files"), i, e)
            if (json_object_set_new(taken, json_get_text(e, "path"), json_true()) < 0)
                rc = err_nomem(err);
    json_array_foreach (json_object_get(f->index, "files"), i, e) {
        const char *path = json_get_text(e, "path");
        if (rc < 0 || !strcmp(json_get_text(e, "type"), "folder"))
            continue;
        if (json_object_get(taken, path))
            rc = err_set(err, EEXIST, "two files of this restore would be %s in the alternate location", path);
        else if (json_object_set_new(taken, path, json_true()) < 0)
            rc = err_nomem(err);
    }
    return rc;
}

/* A folder that has to be made for an alternate location is as its original is on this host; or root's alone. */
static int add_folder(const struct vss_alternate_location *l, json_t *index, struct err *err)
{
    _cleanup_free_ char *of = strndup(l->path, files_path_len(l->path)), *to = strndup(l->destination, files_path_len(l->destination));
    _cleanup_close_ int fd = of ? io_open_entry(of, O_PATH | O_DIRECTORY, NULL) : -1;
    struct stat st = { .st_mode = 0700 };

    if (!of || !to)
        return err_nomem(err);
    if (fd >= 0)
        (void)fstat(fd, &st);
    json_t *e = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", to, "type", "folder", "mode", (json_int_t)(st.st_mode & 07777),
                          "uid", (json_int_t)st.st_uid, "gid", (json_int_t)st.st_gid, "mtime", (json_int_t)st.st_mtim.tv_sec, "mtime_ns",
                          (json_int_t)st.st_mtim.tv_nsec);
    return json_array_insert_new(json_object_get(index, "files"), 0, e) == 0 ? 0 : err_nomem(err);
}

/* The index with the places of the alternate locations. */
static int map_index(const struct restore_files *f, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *index = json_deep_copy(f->index);
    size_t i;
    json_t *e;

    if (!index)
        return err_nomem(err);
    json_array_foreach (json_object_get(index, "files"), i, e) {
        int rc = map_entry(f->stored, e, err);
        if (rc < 0)
            return rc;
    }
    for (size_t k = 0; k < f->stored->n_locations; k++)
        if (location_is_used(f, &f->stored->locations[k]) && add_folder(&f->stored->locations[k], index, err) < 0)
            return -ENOMEM;
    *ret = TAKE_PTR(index);
    return 0;
}

static int note_locations(struct restore *r, const struct restore_files *f, struct err *err)
{
    int rc = 0;

    for (size_t k = 0; k < f->stored->n_locations && rc >= 0; k++)
        if (location_is_used(f, &f->stored->locations[k]))
            rc =
                vss_add_alternative_location_mapping(r->s->vss, f->writer_id, f->logical_path, f->component, &f->stored->locations[k], err);
    return rc;
}

/* From now on it is restored there. */
static int move_component(struct restore *r, struct restore_files *f, struct err *err)
{
    json_t *index = NULL;

    int rc = map_index(f, &index, err);
    if (rc >= 0)
        rc = note_locations(r, f, err);
    if (rc < 0) {
        json_decref(index);
        return rc;
    }
    f->alternates = list_used(f);
    json_decref(f->index);
    f->index = index;
    f->moved = true;
    return check_alone(r, f, err);
}

/* ---- Before PreRestore --------------------------------------------------------------------------------------------------------*/

/* What is not even going to be possible after PreRestore. */
static int judge_place(struct restore *r, struct restore_files *f, struct err *err)
{
    struct err other = ERR_INIT;

    if (restore_can_replace(f->index, false, err) >= 0)
        return 0;
    int rc = move_component(r, f, &other);
    return rc < 0 && rc != -ENOENT ? err_move(err, &other) : rc < 0 ? -EBUSY : 0;
}

/* Only what the writer that is installed here wants to be stopped is stopped: the restore point may be anybody's. */
static int judge_service(struct restore *r, struct restore_files *f, struct err *err)
{
    const struct vss_writer_info *here = vss_writer_find(r->s->vss, f->writer_id);
    const char *unit = f->stored->service;

    if (unit && (!here || !here->service || strcmp(here->service, unit)))
        return err_set(err, EPERM,
                       "the restore point wants the service %s to be stopped, which the writer on this host does not name: " TO_FOLDER,
                       unit);
    return service_check(unit, err);
}

static int judge_method(struct restore *r, struct restore_files *f, struct err *err)
{
    switch (f->stored->restore_method) {
    case VSS_RME_CUSTOM:
        return err_set(err, EOPNOTSUPP, "its files may only be restored through the application (restore method custom): " TO_FOLDER);
    case VSS_RME_RESTORE_AT_REBOOT:
        return err_set(err, EOPNOTSUPP,
                       "its files may only be replaced during a reboot (restore method restore-at-reboot), which kvss "
                       "does not do: " TO_FOLDER);
    case VSS_RME_RESTORE_TO_ALTERNATE_LOCATION: return move_component(r, f, err);
    case VSS_RME_STOP_RESTORE_START:
    case VSS_RME_RESTORE_STOP_START: return judge_service(r, f, err);
    case VSS_RME_RESTORE_IF_NOT_THERE:
    case VSS_RME_RESTORE_IF_CAN_REPLACE:
    case VSS_RME_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE: return judge_place(r, f, err);
    default: return 0;
    }
}

int restore_judge_methods(struct restore *r, struct err *err)
{
    for (size_t i = 0; i < r->n_files; i++) {
        struct restore_files *f = &r->files[i];
        f->stored = stored_info(r, f->writer_id);
        if (!f->stored)
            return err_set(err, EUCLEAN, "the restore point has no metadata of writer %s", f->writer);
        if (judge_method(r, f, err) < 0)
            return refuse_method(r, f, err);
    }
    return 0;
}

/* ---- After PreRestore: the writer may have made room, and may have set a target --------------------------------------------------*/

/* A link that leads nowhere is there; so is what cannot be looked at. */
static bool nothing_is_at(const char *path)
{
    _cleanup_close_ int fd = io_open_entry(path, O_PATH, NULL);

    return fd == -ENOENT || fd == -ENOTDIR;
}

static int none_exists(const struct restore_files *f, struct err *err)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(f->index, "files"), i, e)
        if (strcmp(json_get_text(e, "type"), "folder") && !nothing_is_at(json_get_text(e, "path")))
            return err_set(err, EEXIST, "%s exists, and the writer wants nothing to be replaced (restore method restore-if-not-there)",
                           json_get_text(e, "path"));
    return 0;
}

/* 0; 1 and err has the reason: the method does not allow the original place. */
static int original_place(const struct restore_files *f, struct err *err)
{
    switch (f->stored->restore_method) {
    case VSS_RME_RESTORE_IF_NOT_THERE: return none_exists(f, err) < 0;
    case VSS_RME_RESTORE_IF_CAN_REPLACE:
    case VSS_RME_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE: return restore_can_replace(f->index, true, err) < 0;
    default: return 0;
    }
}

static int stage_again(struct restore *r, struct restore_files *f, struct err *err)
{
    struct err why = *err; /* why not the original place */
    struct err other = ERR_INIT;

    int rc = move_component(r, f, &other);
    if (rc < 0 && rc != -ENOENT)
        return err_move(err, &other);
    if (rc < 0) {
        *err = why;
        return -why.code;
    }
    char *group = str_format("%s-moved", f->group); /* what was staged first is never swapped in */
    if (!group)
        return err_nomem(err);
    free(f->group);
    f->group = group;
    rc = restore_judge_moved(r, f, err);
    return rc < 0 ? rc : restore_stage_component(r, f, err);
}

static int follow_target(struct restore *r, struct restore_files *f, struct err *err)
{
    struct vss_component_state st;

    int rc = vss_get_component_state(r->s->vss, f->writer_id, f->logical_path, f->component, &st, err);
    if (rc < 0)
        return rc;
    if (st.restore_target == VSS_RT_DIRECTED)
        return err_set(err, EOPNOTSUPP,
                       "the writer directs parts of its files to other places (restore target), which kvss does not do: " TO_FOLDER);
    if (f->moved)
        return 0;
    if (st.restore_target == VSS_RT_ALTERNATE) {
        err_set(err, ENOENT, "the writer wants its files at an alternate location (restore target), but declares none for all of them");
        return stage_again(r, f, err);
    }
    rc = original_place(f, err);
    return rc > 0 ? stage_again(r, f, err) : rc;
}

int restore_follow_writers(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        if ((rc = follow_target(r, &r->files[i], err)) < 0)
            err_context(err, "writer %s, component %s", r->files[i].writer, r->files[i].component);
    return rc;
}

/* ---- Services ---------------------------------------------------------------------------------------------------------------------*/

/* NULL: it has none that is to be stopped, or its files go elsewhere. */
const char *restore_service(const struct restore_files *f)
{
    bool wants =
        f->stored && (f->stored->restore_method == VSS_RME_STOP_RESTORE_START || f->stored->restore_method == VSS_RME_RESTORE_STOP_START);

    return wants && !f->moved ? f->stored->service : NULL;
}

/* Two components may have one. */
static bool is_first_of_service(const struct restore *r, size_t i)
{
    const char *unit = restore_service(&r->files[i]);

    for (size_t k = 0; unit && k < i; k++)
        if (restore_service(&r->files[k]) && !strcmp(restore_service(&r->files[k]), unit))
            return false;
    return unit;
}

static int stop_service(struct restore *r, const struct restore_files *f, struct err *err)
{
    const char *unit = restore_service(f);
    const struct journal_arg args[] = { { "unit", unit }, { "name", unit }, { NULL, NULL } };
    bool runs = false;
    uint64_t id;

    int rc = service_runs(unit, &runs, err);
    if (rc < 0 || !runs)
        return rc;
    rc = journal_begin(r->s->journal, VERB_STOPPED_SERVICE, args, &id, err);
    if (rc >= 0 && f->stored->restore_method == VSS_RME_STOP_RESTORE_START)
        rc = service_stop(unit, err);
    for (size_t k = 0; k < r->n_files && rc >= 0; k++)
        r->files[k].restarts = r->files[k].restarts || (restore_service(&r->files[k]) && !strcmp(restore_service(&r->files[k]), unit));
    return rc < 0 ? rc : 0;
}

int restore_stop_services(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        if (is_first_of_service(r, i))
            rc = stop_service(r, &r->files[i], err);
    return rc;
}

/* Should the files be taken away again, it is stopped first. */
static int enter_started(struct restore *r, const struct restore_files *f, struct err *err)
{
    const struct journal_arg args[] = {
        { "group", f->group }, { "unit", f->stored->service }, { "name", f->stored->service }, { NULL, NULL }
    };
    uint64_t id;

    return f->restarts ? journal_begin(r->s->journal, VERB_STARTED_SERVICE, args, &id, err) : 0;
}

int restore_start_services(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        rc = enter_started(r, &r->files[i], err);
    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        if (r->files[i].restarts && is_first_of_service(r, i) && (rc = service_restart(r->files[i].stored->service, err)) < 0)
            err_context(err, "writer %s: its service could not be started with the restored files", r->files[i].writer);
    return rc;
}
