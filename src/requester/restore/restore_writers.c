/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of writers that are programs: the stored metadata say what is restored (behaviour 34), and the writer that is installed here says
 * where files of its are. A restore point that has others brings them to nowhere else without a further word. */
#include "base/io.h"
#include "base/strv.h"
#include "requester/trust/trust.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

#define FOLDERS_TOLD 50u

/* 1: it belongs to the writer, or was allowed; 0 and the folder in which it would be. */
static int writers_may_go(const struct vss_writer_info *w, const json_t *entry, char *const *places, char **ret_folder, struct err *err)
{
    const char *path = json_get_text(entry, "path"), *type = json_get_text(entry, "type");
    _cleanup_free_ char *folder = path ? io_dirname(path) : NULL, *name = path ? io_basename(path) : NULL;
    bool is_folder = type && !strcmp(type, "folder");

    if (!folder || !name)
        return err_nomem(err);
    if (is_folder ? vss_writer_has_file(w, path, NULL) : vss_writer_has_file(w, folder, name))
        return 1;
    for (size_t i = 0; i < w->n_locations; i++)
        if (is_folder || vss_filespec_match(w->locations[i].filespec, name))
            if (!strcmp(folder, w->locations[i].destination) ||
                (w->locations[i].recursive && io_is_below(path, w->locations[i].destination)))
                return 1;
    int allowed = allow_has(places, path);
    if (allowed < 0)
        return err_nomem(err);
    *ret_folder = TAKE_PTR(folder);
    return allowed;
}

static int writers_judge(struct restore *r, const struct vss_writer_info *w, const struct restore_files *f, char *const *places,
                         struct err *err)
{
    _cleanup_strv_ char **told = NULL;
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(f->index, "files"), i, e) {
        _cleanup_free_ char *folder = NULL;
        int rc = writers_may_go(w, e, places, &folder, err);
        if (rc < 0)
            return rc;
        if (rc > 0 || strv_has(told, folder) || strv_len(told) >= FOLDERS_TOLD)
            continue;
        _cleanup_free_ char *of = str_format("component %s: files outside the file sets of writer %s on this host", f->component, w->name);
        if (!of || strv_add(&told, folder) < 0)
            return err_nomem(err);
        if ((rc = restore_refuse_place(r, of, folder, err)) < 0)
            return rc;
    }
    return 0;
}

static int judge_component(struct restore *r, const struct restore_files *f, struct err *err)
{
    const struct vss_writer_info *w = vss_writer_find(r->s->vss, f->writer_id);
    _cleanup_strv_ char **places = NULL;

    if (allow_add_all(&places, r->job->allow) < 0 || allow_add_all(&places, r->job->allow_always) < 0)
        return err_nomem(err);
    return w ? writers_judge(r, w, f, places, err) : 0; /* one that is not here is told of when it is selected */
}

int restore_judge_files(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        rc = judge_component(r, &r->files[i], err);
    return rc;
}

int restore_judge_moved(struct restore *r, const struct restore_files *f, struct err *err)
{
    enum requester_end end = r->rq->end;
    int rc = judge_component(r, f, err);

    if (rc >= 0)
        rc = restore_check_refused(r, err);
    r->rq->end = end; /* VMs were turned off already */
    return rc;
}
