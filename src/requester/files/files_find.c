/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files a component has now: folders are listed here, the service says which of the names belong to it. */
#include "base/io.h"
#include "base/buf.h"
#include "base/io_at.h"
#include "requester/files/files.h"
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
            return err_nomem(err);
    return err_set(err, EILSEQ, "%s %s is not UTF-8 and cannot be stored: rename it, " FILES_NO_WRITER, what, (char *)shown.data);
}

int files_read_link(int fd, const char *path, char **ret, struct err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

    if (n < 0)
        return err_errno(err, errno, "cannot read the symbolic link %s", path);
    target[n] = '\0';
    int r = check_text(target, "the target of a symbolic link,", err);
    if (r < 0)
        return err_context(err, "%s", path);
    *ret = strdup(target);
    return *ret ? 0 : err_nomem(err);
}

/* Takes over path and from. */
static int find_add(struct file_list *l, char *path, char *from, const struct stat *st, struct err *err)
{
    if (l->n == l->cap && l->n < FILES_MAX) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct file_entry *more = realloc(l->entries, cap * sizeof(*more));
        if (more) {
            l->entries = more;
            l->cap = cap;
        }
    }
    int r = l->n == l->cap ? err_set(err, E2BIG, "too many files") : check_text(path, "the name", err);
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
    const struct files_places *places; /* NULL: files are read where they are */
    struct file_list *list;
    char *folder; /* the last one that was looked into, and it, open; its files come one after the other */
    int dir;
};

size_t files_path_len(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

/* A folder below a recursive file set comes back even where it is empty, and with its owner and mode. `real` is where it is read. */
static int find_add_folder(struct find *f, const char *real, const struct stat *st, struct err *err)
{
    for (size_t i = 0; i < f->c->n_files; i++) {
        const struct vss_file_set *set = &f->c->files[i];
        const char *base = set->alternate_path ? set->alternate_path : set->path;
        size_t n = files_path_len(base);
        if (!set->recursive || strncmp(real, base, n) || real[n] != '/' || real[n + 1] == '\0')
            continue;
        char *path = str_format("%.*s%s", (int)files_path_len(set->path), set->path, real + n);
        char *from = set->alternate_path ? strdup(real) : NULL;
        if (path && (from || !set->alternate_path))
            return find_add(f->list, path, from, st, err);
        free(path);
        free(from);
        return err_nomem(err);
    }
    return 0;
}

/* 0: it has just gone. */
static int find_open_folder(const char *path, DIR **ret, struct err *err)
{
    _cleanup_close_ int dir = -1;
    struct err why = ERR_INIT;

    int r = io_open_folder(path, &dir, &why);
    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? 0 : err_move(err, &why);
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !(*ret = fdopendir(fd))) {
        r = err_errno(err, errno, "cannot read the folder %s", path);
        cleanup_close_p(&fd);
        return r;
    }
    return 1;
}

/* Where a path is read. Caller frees. */
static int find_place(const struct find *f, const char *path, char **ret, struct err *err)
{
    *ret = f->places ? files_place(f->places, path) : strdup(path);
    return *ret ? 0 : err_nomem(err);
}

/* A btrfs snapshot of another session's, in the folder of the subvolume; in a snapshot there is an empty folder in its place. */
static bool is_shadow_copy(const char *name, const struct stat *st, const struct stat *folder)
{
    return S_ISDIR(st->st_mode) && !strncmp(name, IO_TEMPORARY_PREFIX, strlen(IO_TEMPORARY_PREFIX)) &&
           ((st->st_ino == FILES_SUBVOLUME && st->st_dev != folder->st_dev) || st->st_ino == FILES_EMPTY_SUBVOLUME);
}

static int find_list_folder(void *priv, const char *path, int (*entry)(void *arg, const char *name, bool is_folder), void *arg,
                            struct err *err)
{
    struct find *f = priv;
    _cleanup_closedir_ DIR *d = NULL;
    _cleanup_free_ char *place = NULL;
    struct stat st;

    int r = find_place(f, path, &place, err);
    if (r >= 0)
        r = find_open_folder(place, &d, err);
    if (r <= 0)
        return r;
    if (fstat(dirfd(d), &st) < 0)
        return err_errno(err, errno, "cannot read the folder %s", path);
    if (f->places && st.st_ino == FILES_EMPTY_SUBVOLUME)
        return err_set(err, EAGAIN, "%s has become a subvolume of its own, which is not in the snapshot: run the backup again", path);
    r = find_add_folder(f, path, &st, err);
    if (r < 0)
        return r;
    const struct stat own = st;
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* it has just gone */
        if (is_shadow_copy(e->d_name, &st, &own))
            continue;
        r = entry(arg, e->d_name, S_ISDIR(st.st_mode));
        if (r < 0)
            return r;
    }
    return errno ? err_errno(err, errno, "cannot read the folder %s", path) : 0;
}

/* Where its folder is read, if not where it belongs. */
static char *read_from(const struct vss_file_set *set, const char *folder)
{
    return str_format("%s%s", set->alternate_path, folder + files_path_len(set->path));
}

static int enter_folder(struct find *f, const char *folder, struct err *err)
{
    int dir = -1;

    if (f->folder && !strcmp(f->folder, folder))
        return 0;
    int r = io_open_folder(folder, &dir, err);
    if (r < 0)
        return r;
    cleanup_close_p(&f->dir);
    free(f->folder);
    f->dir = dir;
    f->folder = strdup(folder);
    return f->folder ? 0 : err_nomem(err);
}

/* What a link holds is read from the one that was looked at. */
static int find_look_at(const struct find *f, const char *name, const char *path, struct stat *st, struct err *err)
{
    if (fstatat(f->dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(err, errno, "cannot read %s", path);
    if (!S_ISLNK(st->st_mode))
        return 0;
    _cleanup_close_ int fd = openat(f->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_free_ char *target = NULL;
    if (fd < 0 || fstat(fd, st) < 0)
        return err_errno(err, errno, "cannot read %s", path);
    return S_ISLNK(st->st_mode) ? files_read_link(fd, path, &target, err) : 0;
}

static int found(void *priv, const struct vss_file_set *set, const char *folder, const char *name, struct err *err)
{
    struct find *f = priv;
    _cleanup_free_ char *path = io_path(folder, name), *other = set->alternate_path ? read_from(set, folder) : strdup(folder);
    _cleanup_free_ char *place = NULL, *from = NULL;
    struct stat st;

    int r = path && other ? find_place(f, other, &place, err) : err_nomem(err);
    if (r >= 0 && strcmp(place, folder) && !(from = io_path(place, name)))
        r = err_nomem(err);
    if (r >= 0)
        r = enter_folder(f, place, err);
    if (r >= 0)
        r = find_look_at(f, name, from ? from : path, &st, err);
    return r < 0 ? r : find_add(f->list, TAKE_PTR(path), TAKE_PTR(from), &st, err);
}

int files_find(const struct vss_writer_info *w, size_t component, const struct files_places *places, struct file_list *l, struct err *err)
{
    struct find f = { .c = &w->components[component], .places = places, .list = l, .dir = -1 };
    struct vss_folder folder = { find_list_folder, &f };

    for (size_t i = 0; i < f.c->n_files; i++)
        if (f.c->files[i].path[0] != '/')
            return err_set(err, EINVAL, "component '%s' of writer '%s': '%s' is not an absolute path", f.c->name, w->name,
                           f.c->files[i].path);
    int r = vss_component_files(w, component, &folder, found, &f, err);
    cleanup_close_p(&f.dir);
    free(f.folder);
    return r;
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
