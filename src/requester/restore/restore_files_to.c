/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of writers that are programs into a folder, for a person to look at, where their own places are not to be touched or where the
 * writer is not installed: FOLDER/WRITER/COMPONENT and the path they had. No writer takes part, as nothing of its is restored. */
#include "base/io.h"
#include "requester/trust/trust.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

#define NAME_BYTES 120u /* of a folder that is named after a writer or a component */

/* Any text as the name of one folder: no separators, no control characters, not hidden. Caller frees; NULL: out of memory. */
static char *folder_name(const char *text)
{
    size_t n = strlen(text);

    if (n > NAME_BYTES)
        for (n = NAME_BYTES; n > 0 && (text[n] & 0xc0) == 0x80;)
            n--;
    char *name = n ? strndup(text, n) : strdup("_");
    for (char *c = name; c && *c; c++)
        if (*c == '/' || *c == '\\' || (unsigned char)*c < 0x20 || *c == 0x7f || (c == name && *c == '.'))
            *c = '_';
    return name;
}

static bool is_taken(const struct restore *r, const struct restore_files *f, const char *place)
{
    for (const struct restore_files *other = r->files; other < f; other++)
        if (!strcmp(other->to, place))
            return true;
    return false;
}

static int name_place(const struct restore *r, struct restore_files *f, struct err *err)
{
    _cleanup_free_ char *both = *f->logical_path ? str_format("%s_%s", f->logical_path, f->component) : strdup(f->component);
    _cleanup_free_ char *writer = folder_name(f->writer), *component = both ? folder_name(both) : NULL;
    char number[24] = "";
    size_t n = strlen(r->job->files_to);

    while (n && r->job->files_to[n - 1] == '/')
        n--;
    for (size_t i = 2; writer && component; i++) {
        _cleanup_free_ char *place = str_format("%.*s/%s/%s%s", (int)n, r->job->files_to, writer, component, number);
        if (place && is_taken(r, f, place)) {
            snprintf(number, sizeof(number), "-%zu", i);
            continue;
        }
        _cleanup_free_ char *real = place ? allow_real_place(place) : NULL;
        if (!real)
            break;
        f->real = strcmp(real, place) ? TAKE_PTR(real) : NULL;
        f->to = TAKE_PTR(place);
        return 0;
    }
    return err_nomem(err);
}

static int place_files(const struct restore *r, struct restore_files *f, struct err *err)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(f->index, "files"), i, e) {
        _cleanup_free_ char *path = str_format("%s%s", f->to, json_get_text(e, "path"));
        if (!path)
            return err_nomem(err);
        if (json_object_set_new(e, "path", json_string(path)) < 0)
            return err_set(err, EILSEQ, "--files-to: the folder name is not UTF-8");
        if (!r->job->overwrite && strcmp(json_get_text(e, "type"), "folder") && io_exists(path))
            return err_set(err, EEXIST, "%s already exists; use --overwrite to replace it", path);
    }
    return 0;
}

static int place(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files && rc >= 0; i++) {
        rc = name_place(r, &r->files[i], err);
        if (rc >= 0 && (rc = place_files(r, &r->files[i], err)) < 0)
            err_context(err, "component %s", r->files[i].component);
    }
    return rc;
}

/* What leads to the files is this user's alone: a folder that kept others out may not be among what is restored. */
static int stage_places(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files && rc >= 0; i++) {
        _cleanup_free_ char *group = restore_files_group(&r->files[i]);
        rc = group ? stage_folder(r->stage, group, r->files[i].to, 0700, err) : err_nomem(err);
    }
    return rc;
}

int restore_files_to(struct restore *r, struct err *err)
{
    int rc = restore_plan(r, err);

    if (rc >= 0)
        rc = place(r, err);
    if (rc >= 0)
        rc = restore_check(r, err);
    if (rc >= 0)
        rc = restore_check_places(r, err);
    if (rc < 0 || r->job->dry_run)
        return rc;
    rc = restore_confirm(r, err);
    if (rc >= 0)
        rc = stage_new(r->s->journal, &r->stage, err);
    if (rc >= 0)
        rc = stage_places(r, err);
    if (rc >= 0)
        rc = restore_stage(r, err);
    if (rc >= 0)
        rc = job_cancelled(r->rq, err);
    if (rc >= 0)
        rc = restore_files_in_place(r, err);
    return rc >= 0 ? restore_settle_files(r, err) : rc;
}
