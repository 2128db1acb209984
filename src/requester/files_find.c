/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files a component has now: folders are listed here, the service says which of the names belong to it. */
#include "base/io.h"
#include "base/buf.h"
#include "requester/files.h"
#include <dirent.h>
#include <fcntl.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 4000000

void file_list_clear(struct file_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->entries[i].path);
        free(l->entries[i].from);
        free(l->entries[i].link);
    }
    free(l->entries);
    free(l->special);
    *l = (struct file_list)FILE_LIST_INIT;
}

/* The index is JSON, which has no other text. What is told of it is shown byte by byte. */
static int check_text(const char *text, const char *what, struct err *err)
{
    json_auto_t *stored = json_string(text);
    _cleanup_buf_ struct buf shown = BUF_INIT;

    if (stored)
        return 0;
    for (const char *s = text; *s; s++)
        if (buf_addf(&shown, *s & 0x80 ? "\\x%02x" : "%c", (unsigned char)*s) < 0)
            return err_set(err, ENOMEM, "out of memory");
    return err_set(err, EILSEQ, "%s %s is not UTF-8, and cannot be stored: rename it, " FILES_NO_WRITER, what, (char *)shown.data);
}

int files_read_link(const char *path, char **ret, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0)
        return err_errno(err, errno, "cannot read the symbolic link %s", path);
    target[n] = '\0';
    int r = check_text(target, "what a symbolic link points to,", err);
    if (r < 0)
        return err_context(err, "%s", path);
    *ret = strdup(target);
    return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* Takes over path and from. */
static int add(struct file_list *l, char *path, char *from, const struct stat *st, struct err *err)
{
    if (l->n == l->cap && l->n < FILES_MAX) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct file_entry *more = realloc(l->entries, cap * sizeof(*more));
        if (more) {
            l->entries = more;
            l->cap = cap;
        }
    }
    int r = l->n == l->cap ? err_set(err, ENOMEM, "too many files") : check_text(path, "the name", err);
    if (r < 0) {
        free(path);
        free(from);
        return r;
    }
    l->entries[l->n++] = (struct file_entry){ .path = path, .from = from, .st = *st };
    return 0;
}

struct find {
    const struct vss_component_info *c;
    struct file_list *list;
};

static size_t path_len(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

/* A folder below a recursive file set comes back even where it is empty, and with its owner and mode. `real` is where it is read. */
static int add_folder(struct find *f, const char *real, const struct stat *st, struct err *err)
{
    for (size_t i = 0; i < f->c->n_files; i++) {
        const struct vss_file_set *set = &f->c->files[i];
        const char *base = set->alternate_path ? set->alternate_path : set->path;
        size_t n = path_len(base);
        if (!set->recursive || strncmp(real, base, n) || real[n] != '/' || real[n + 1] == '\0')
            continue;
        char *path = str_format("%.*s%s", (int)path_len(set->path), set->path, real + n);
        char *from = set->alternate_path ? strdup(real) : NULL;
        if (path && (from || !set->alternate_path))
            return add(f->list, path, from, st, err);
        free(path);
        free(from);
        return err_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

static int list_folder(void *priv, const char *path, int (*entry)(void *arg, const char *name, bool is_folder), void *arg,
                       struct err *err)
{
    struct find *f = priv;
    _cleanup_closedir_ DIR *d = opendir(path);
    struct stat st;

    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, errno, "cannot read the folder %s", path);
    if (fstat(dirfd(d), &st) < 0)
        return err_errno(err, errno, "cannot read the folder %s", path);
    int r = add_folder(f, path, &st, err);
    if (r < 0)
        return r;
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* it has just gone */
        r = entry(arg, e->d_name, S_ISDIR(st.st_mode));
        if (r < 0)
            return r;
    }
    return errno ? err_errno(err, errno, "cannot read the folder %s", path) : 0;
}

/* Where the file is read, if not where it belongs. */
static char *read_from(const struct vss_file_set *set, const char *folder, const char *name)
{
    return str_format("%s%s/%s", set->alternate_path, folder + path_len(set->path), name);
}

static int found(void *priv, const struct vss_file_set *set, const char *folder, const char *name, struct err *err)
{
    struct find *f = priv;
    _cleanup_free_ char *path = io_path(folder, name), *from = set->alternate_path ? read_from(set, folder, name) : NULL;
    struct stat st;

    if (!path || (set->alternate_path && !from))
        return err_set(err, ENOMEM, "out of memory");
    if (lstat(from ? from : path, &st) < 0)
        return err_errno(err, errno, "cannot read %s", from ? from : path);
    _cleanup_free_ char *target = NULL;
    int r = S_ISLNK(st.st_mode) ? files_read_link(from ? from : path, &target, err) : 0;
    return r < 0 ? r : add(f->list, TAKE_PTR(path), TAKE_PTR(from), &st, err);
}

int files_find(const struct vss_writer_info *w, size_t component, struct file_list *l, struct err *err)
{
    struct find f = { &w->components[component], l };
    struct vss_folder folder = { list_folder, &f };

    for (size_t i = 0; i < f.c->n_files; i++)
        if (f.c->files[i].path[0] != '/')
            return err_set(err, EINVAL, "component '%s' of writer '%s': '%s' is not an absolute path", f.c->name, w->name,
                           f.c->files[i].path);
    return vss_component_files(w, component, &folder, found, &f, err);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file_entry *)a)->path, ((const struct file_entry *)b)->path);
}

/* Each path once. */
static void drop_doubles(struct file_list *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct file_entry *e = &l->entries[i];
        if (kept && !strcmp(l->entries[kept - 1].path, e->path)) {
            free(e->path);
            free(e->from);
            continue;
        }
        l->entries[kept++] = *e;
    }
    l->n = kept;
}

static void take_out_special(struct file_list *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct file_entry *e = &l->entries[i];
        if (S_ISREG(e->st.st_mode) || S_ISLNK(e->st.st_mode) || S_ISDIR(e->st.st_mode)) {
            l->entries[kept++] = *e;
            continue;
        }
        free(e->from);
        if (l->n_special++)
            free(e->path);
        else
            l->special = e->path;
    }
    l->n = kept;
}

void files_sort(struct file_list *l)
{
    if (l->n)
        qsort(l->entries, l->n, sizeof(*l->entries), by_path);
    drop_doubles(l);
    take_out_special(l);
}
