/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From file sets to files: wildcards, recursion, excludes. Folders are listed by whoever calls. */
#include "base/buf.h"
#include "vss/vss.h"
#include <errno.h>
#include <string.h>

#define DEPTH_MAX 64

/* Iterative with one point to go back to, so that no pattern makes it slow. */
bool vss_filespec_match(const char *filespec, const char *name)
{
    const char *star = NULL, *back = NULL;

    while (*name) {
        if (*filespec == '*') {
            star = filespec++;
            back = name;
        } else if (*filespec == '?' || *filespec == *name) {
            filespec++;
            name++;
        } else if (star) {
            filespec = star + 1;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*filespec == '*')
        filespec++;
    return *filespec == '\0';
}

static bool has_wildcard(const char *filespec)
{
    return strpbrk(filespec, "*?") != NULL;
}

static size_t files_path_len(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

/* True if folder is the set's folder, or below it where the set is recursive. */
static bool covers(const struct vss_file_set *set, const char *folder)
{
    size_t n = files_path_len(set->path), m = files_path_len(folder);

    if (m == n)
        return strncmp(set->path, folder, n) == 0;
    if (!set->recursive || m < n || strncmp(set->path, folder, n) != 0)
        return false;
    return folder[n] == '/' || (n == 1 && set->path[0] == '/');
}

static bool is_excluded(const struct vss_writer_info *w, const char *folder, const char *name)
{
    for (size_t i = 0; i < w->n_excludes; i++)
        if (covers(&w->excludes[i], folder) && vss_filespec_match(w->excludes[i].filespec, name))
            return true;
    return false;
}

bool vss_writer_has_file(const struct vss_writer_info *w, const char *folder, const char *name)
{
    for (size_t i = 0; i < w->n_components; i++)
        for (size_t k = 0; k < w->components[i].n_files; k++) {
            const struct vss_file_set *set = &w->components[i].files[k];
            if (covers(set, folder) && (!name || vss_filespec_match(set->filespec, name)))
                return !name || !is_excluded(w, folder, name);
        }
    return false;
}

struct files_walk {
    const struct vss_writer_info *w;
    const struct vss_component_info *c;
    const struct vss_file_set *set;
    const struct vss_folder *folder;
    vss_file_fn *found;
    void *priv;
    struct err *err;
    const char *path; /* of the folder being listed, in terms of set->path */
    unsigned depth;
    bool seen; /* a file that the set names was there */
};

static int files_list_folder(struct files_walk *k, const char *path);

static int visit(void *arg, const char *name, bool is_folder)
{
    struct files_walk *k = arg;

    if (is_folder) {
        if (!k->set->recursive)
            return 0;
        const char *here = k->path;
        _cleanup_free_ char *below = str_format("%.*s/%s", (int)files_path_len(here), strcmp(here, "/") == 0 ? "" : here, name);
        if (!below)
            return err_nomem(k->err);
        int r = files_list_folder(k, below);
        k->path = here;
        return r;
    }
    if (!vss_filespec_match(k->set->filespec, name))
        return 0;
    k->seen = true;
    /* Excludes are written in terms of where the files belong, which is where they are restored to. */
    return is_excluded(k->w, k->path, name) ? 0 : k->found(k->priv, k->set, k->path, name, k->err);
}

/* Where the files are read from: an alternate path stands for the set's own. */
static char *read_path(const struct vss_file_set *set, const char *path)
{
    if (!set->alternate_path)
        return strdup(path);
    return str_format("%s%s", set->alternate_path, path + files_path_len(set->path));
}

static int files_list_folder(struct files_walk *k, const char *path)
{
    _cleanup_free_ char *real = read_path(k->set, path);

    if (!real)
        return err_nomem(k->err);
    if (k->depth >= DEPTH_MAX)
        return err_set(k->err, ELOOP, "'%s': folders are more than %d deep", path, DEPTH_MAX);
    k->depth++;
    k->path = path;
    int r = k->folder->list(k->folder->priv, real, visit, k, k->err);
    k->depth--;
    return r;
}

int vss_component_files(const struct vss_writer_info *w, size_t component, const struct vss_folder *folder, vss_file_fn *found, void *priv,
                        struct err *err)
{
    struct files_walk k = { .w = w, .c = &w->components[component], .folder = folder, .found = found, .priv = priv, .err = err };

    for (size_t i = 0; i < k.c->n_files; i++) {
        k.set = &k.c->files[i];
        k.seen = false;
        _cleanup_free_ char *path = strndup(k.set->path, files_path_len(k.set->path));
        int r = path ? files_list_folder(&k, path) : err_nomem(err);
        if (r < 0)
            return r;
        if (!k.seen && !has_wildcard(k.set->filespec) && !is_excluded(w, k.set->path, k.set->filespec))
            return err_set(err, ENOENT, "component '%s' of writer '%s' lists the file '%s' in '%s', which does not exist", k.c->name,
                           w->name, k.set->filespec, k.set->path);
    }
    return 0;
}
