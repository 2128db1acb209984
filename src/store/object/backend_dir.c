/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A repository in a folder. put: write to tmp/, fsync, rename (link if exclusive), fsync of the folder. Packs are spread over
 * packs/AB/. Open files are kept in a small cache, since reading a repository is many small reads of few files. */
#include "store/object/backend.h"
#include "base/cleanup.h"
#include "base/guid.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "store/object/spot.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_SIZE BACKEND_NAME_MAX
#define OPEN_FILES 64

static const char *const folders[] = { "keys", "packs", "index", "points", "locks", "gc", "protected", "ring", "catalogue", "tmp" };
static const char *const added[] = { "protected", "ring", "catalogue" }; /* older repositories have none; made when needed */

struct open_file {
    char name[NAME_SIZE];
    int fd;
    unsigned users;
    uint64_t used; /* tick of the last use */
    bool gone;     /* deleted meanwhile: close at the last release */
};

struct dir {
    struct backend backend;
    char *path;
    int fd;
    struct guid token; /* in the names of temporary files: hosts may share the folder */
    atomic_uint counter;
    pthread_mutex_t lock; /* files, tick */
    struct open_file files[OPEN_FILES];
    uint64_t tick;
};

/* "packs/abcd" -> "packs/ab/abcd"; others as they are. */
static int map_name(const char *name, char out[static NAME_SIZE])
{
    int n = strncmp(name, "packs/", 6) == 0 && strlen(name) > 8 ? snprintf(out, NAME_SIZE, "packs/%.2s/%s", name + 6, name + 6)
                                                                : snprintf(out, NAME_SIZE, "%s", name);

    return n < 0 || n >= NAME_SIZE ? -ENAMETOOLONG : 0;
}

static int backend_dir_fail(struct dir *d, int code, const char *what, const char *name, struct err *err)
{
    if (code == ENOSPC || code == EDQUOT)
        return err_set(err, code, "cannot %s %s in the repository %s: %s; free space and try again (finished data is kept)", what, name,
                       d->path, code == ENOSPC ? "no space left" : "the quota is exceeded");
    if (code == ELOOP)
        return err_set(err, code,
                       "cannot %s %s in the repository %s: its folder is a symbolic link owned by another user, which is not followed",
                       what, name, d->path);
    if (code == EROFS)
        return err_set(err, code, "cannot %s %s in the repository %s: it is read-only", what, name, d->path);
    return err_errno(err, code, "cannot %s %s in the repository %s", what, name, d->path);
}

/* The cached descriptor of name, in use until file_release(). */
static struct open_file *file_cached(struct dir *d, const char *name)
{
    for (size_t i = 0; i < OPEN_FILES; i++) {
        struct open_file *f = &d->files[i];
        if (f->fd >= 0 && !f->gone && strcmp(f->name, name) == 0) {
            f->users++;
            f->used = ++d->tick;
            return f;
        }
    }
    return NULL;
}

/* Takes fd into the cache; NULL if every place is in use (the caller closes fd itself then). */
static struct open_file *file_insert(struct dir *d, const char *name, int fd)
{
    struct open_file *best = NULL;

    for (size_t i = 0; i < OPEN_FILES; i++) {
        struct open_file *f = &d->files[i];
        if (f->users == 0 && (!best || f->fd < 0 || (best->fd >= 0 && f->used < best->used)))
            best = f;
    }
    if (!best)
        return NULL;
    if (best->fd >= 0)
        close(best->fd);
    *best = (struct open_file){ .fd = fd, .users = 1, .used = ++d->tick };
    snprintf(best->name, sizeof best->name, "%s", name);
    return best;
}

static void file_release(struct dir *d, struct open_file *f)
{
    SCOPED_LOCK(&d->lock);
    if (--f->users == 0 && f->gone) {
        close(f->fd);
        *f = (struct open_file){ .fd = -1 };
    }
}

static void file_forget(struct dir *d, const char *name)
{
    SCOPED_LOCK(&d->lock);
    for (size_t i = 0; i < OPEN_FILES; i++) {
        struct open_file *f = &d->files[i];
        if (f->fd < 0 || strcmp(f->name, name) != 0)
            continue;
        f->gone = true;
        if (f->users == 0) {
            close(f->fd);
            *f = (struct open_file){ .fd = -1 };
        }
    }
}

static struct open_file *file_get(struct dir *d, const char *name, int *ret_fd)
{
    SCOPED_LOCK(&d->lock);
    struct open_file *f = file_cached(d, name);
    if (!f) {
        *ret_fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (*ret_fd < 0)
            return NULL;
        f = file_insert(d, name, *ret_fd);
    }
    if (f)
        *ret_fd = f->fd;
    return f;
}

static int dir_get(struct backend *b, const char *name, uint64_t off, void *p, size_t n, struct err *err)
{
    struct dir *d = (struct dir *)b;
    char path[NAME_SIZE];
    int fd, r = map_name(name, path);

    if (r < 0)
        return backend_dir_fail(d, -r, "read", name, err);
    /* Only what never changes is worth keeping open. */
    bool keep = strncmp(name, "packs/", 6) == 0 || strncmp(name, "index/", 6) == 0;
    struct open_file *f = NULL;
    if (keep)
        f = file_get(d, path, &fd);
    else
        fd = openat(d->fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return backend_dir_fail(d, errno, "read", name, err);
    r = io_pread(fd, p, n, off);
    if (f)
        file_release(d, f);
    else
        close(fd);
    return r < 0 ? backend_dir_fail(d, -r, "read", name, err) : 0;
}

static int write_all(int fd, const struct iovec *iov, size_t iovs)
{
    for (size_t i = 0; i < iovs; i++) {
        int r = io_write(fd, iov[i].iov_base, iov[i].iov_len);
        if (r < 0)
            return r;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* fsync of the folder that holds path (relative to the repository). */
static int sync_parent(struct dir *d, const char *path)
{
    _cleanup_spot_ struct spot at = SPOT_NONE;
    int r = spot_open(d->fd, path, &at);

    return r < 0 ? r : io_fsync_at(at.fd);
}

static int move(struct dir *d, const char *tmp, const char *path, enum backend_put how)
{
    if (how == BACKEND_REPLACE)
        return spot_rename(d->fd, tmp, path, 0);
    int r = spot_link(d->fd, tmp, path);
    if (r == 0) {
        (void)spot_remove(d->fd, tmp);
        return 0;
    }
    if (r != -EPERM && r != -EOPNOTSUPP && r != -ENOSYS)
        return r;
    /* A file system without hard links: exFAT, say, of a disk that is carried away. */
    r = spot_rename(d->fd, tmp, path, RENAME_NOREPLACE);
    if (r != -EINVAL && r != -ENOSYS)
        return r;
    /* Through FUSE not even that. Two who make a repository in one place at the very same moment are not told apart then. */
    return spot_is_there(d->fd, path) ? -EEXIST : spot_rename(d->fd, tmp, path, 0);
}

/* The folder of an object that may have to be made first: length of its name, or 0. */
static size_t folder_to_make(const char *path)
{
    if (strncmp(path, "packs/", 6) == 0)
        return 8;
    for (size_t i = 0; i < ARRAY_SIZE(added); i++) {
        size_t n = strlen(added[i]);
        if (strncmp(path, added[i], n) == 0 && path[n] == '/')
            return n;
    }
    return 0;
}

static int make_below(struct dir *d, const char *folder)
{
    _cleanup_spot_ struct spot at = SPOT_NONE;
    int r = spot_open(d->fd, folder, &at);

    return r < 0 ? r : mkdirat(at.fd, at.name, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Moves the finished temporary file into place, making the folder of a pack where it is not there yet. */
static int backend_dir_place(struct dir *d, const char *tmp, const char *path, enum backend_put how)
{
    for (int attempt = 0;; attempt++) {
        int r = move(d, tmp, path, how);
        if (r == 0)
            break;
        size_t n = folder_to_make(path);
        if (r != -ENOENT || attempt > 0 || n == 0)
            return r;
        char folder[16];
        snprintf(folder, sizeof folder, "%.*s", (int)n, path);
        r = make_below(d, folder);
        if (r == 0)
            r = sync_parent(d, folder);
        if (r < 0)
            return r;
    }
    return sync_parent(d, path);
}

/* The whole object in a temporary file, whose name is in tmp then. Nothing is left of it on failure. */
static int write_tmp(struct dir *d, const struct iovec *iov, size_t iovs, char tmp[static NAME_SIZE])
{
    snprintf(tmp, NAME_SIZE, "tmp/%s-%u", d->token.text, atomic_fetch_add(&d->counter, 1));
    _cleanup_spot_ struct spot at = SPOT_NONE;
    int r = spot_open(d->fd, tmp, &at);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = openat(at.fd, at.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, iov, iovs);
    if (r < 0)
        unlinkat(at.fd, at.name, 0);
    return r;
}

static int dir_put(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, enum backend_put how, struct err *err)
{
    struct dir *d = (struct dir *)b;
    char path[NAME_SIZE], tmp[NAME_SIZE];
    int r = map_name(name, path);

    if (r == 0)
        r = write_tmp(d, iov, iovs, tmp);
    if (r < 0)
        return backend_dir_fail(d, -r, "write", name, err);
    r = backend_dir_place(d, tmp, path, how);
    if (r == 0)
        return 0;
    (void)spot_remove(d->fd, tmp);
    return backend_dir_fail(d, -r, "write", name, err);
}

/* ---- In two steps ---------------------------------------------------------------------------------------------------------*/

static int dir_prepare(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, struct backend_prepared *ret,
                       struct err *err)
{
    struct dir *d = (struct dir *)b;
    struct backend_prepared p = { 0 };
    int r = map_name(name, p.name);

    if (r == 0)
        r = write_tmp(d, iov, iovs, p.at);
    if (r == 0 && (r = sync_parent(d, p.at)) < 0)
        (void)spot_remove(d->fd, p.at);
    if (r < 0)
        return backend_dir_fail(d, -r, "write", name, err);
    *ret = p;
    return 0;
}

/* A rename over a network may have been done though it is told to have failed, and one that was done may not have become durable:
 * what counts is what is there in the end. */
static int dir_publish(struct backend *b, const struct backend_prepared *p, struct err *err)
{
    struct dir *d = (struct dir *)b;
    int r = spot_rename(d->fd, p->at, p->name, 0);

    if (r < 0 && spot_is_there(d->fd, p->name) && !spot_is_there(d->fd, p->at))
        r = 0;
    if (r == 0 && (r = sync_parent(d, p->name)) < 0 && spot_rename(d->fd, p->name, p->at, 0) < 0)
        (void)spot_remove(d->fd, p->name);
    return r < 0 ? backend_dir_fail(d, -r, "publish", p->name, err) : 0;
}

static void dir_abandon(struct backend *b, const struct backend_prepared *p)
{
    (void)spot_remove(((struct dir *)b)->fd, p->at);
}

static int backend_dir_list_folder(struct dir *d, const char *folder, int (*fn)(void *priv, const char *name), void *priv)
{
    _cleanup_close_ int there = spot_enter(d->fd, folder);
    int fd = there < 0 ? there : openat(there, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (there < 0 || fd < 0)
        return there == -ENOENT ? 0 : there < 0 ? there : -errno;
    _cleanup_closedir_ DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    bool packs = strcmp(folder, "packs") == 0;
    for (struct dirent *e; errno = 0, (e = readdir(dir));) {
        int r = 0;
        if (e->d_name[0] == '.')
            continue;
        if (packs) {
            char sub[NAME_SIZE];
            snprintf(sub, sizeof sub, "packs/%.100s", e->d_name);
            r = strlen(e->d_name) == 2 ? backend_dir_list_folder(d, sub, fn, priv) : 0;
        } else {
            r = fn(priv, e->d_name);
        }
        if (r < 0)
            return r;
    }
    return errno ? -errno : 0;
}

static int dir_list(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err)
{
    struct dir *d = (struct dir *)b;
    int r = backend_dir_list_folder(d, folder, fn, priv);

    return r < 0 ? backend_dir_fail(d, -r, "list", folder, err) : 0;
}

static int dir_del(struct backend *b, const char *name, struct err *err)
{
    struct dir *d = (struct dir *)b;
    char path[NAME_SIZE];
    int r = map_name(name, path);

    if (r < 0)
        return backend_dir_fail(d, -r, "delete", name, err);
    file_forget(d, path);
    r = spot_remove(d->fd, path);
    return r < 0 && r != -ENOENT ? backend_dir_fail(d, -r, "delete", name, err) : 0;
}

static int dir_stat(struct backend *b, const char *name, struct backend_stat *ret, struct err *err)
{
    struct dir *d = (struct dir *)b;
    char path[NAME_SIZE];
    struct stat st;
    int r = map_name(name, path);

    if (r < 0)
        return backend_dir_fail(d, -r, "read", name, err);
    if (fstatat(d->fd, path, &st, 0) < 0)
        return backend_dir_fail(d, errno, "read", name, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EUCLEAN, "%s in the repository %s is not a file", name, d->path);
    *ret = (struct backend_stat){ (uint64_t)st.st_size, st.st_mtim.tv_sec * 1000000LL + st.st_mtim.tv_nsec / 1000 };
    return 0;
}

static void dir_close(struct backend *b)
{
    struct dir *d = (struct dir *)b;

    for (size_t i = 0; i < OPEN_FILES; i++)
        if (d->files[i].fd >= 0)
            close(d->files[i].fd);
    if (d->fd >= 0)
        close(d->fd);
    pthread_mutex_destroy(&d->lock);
    free(d->path);
    free(d);
}

static const struct backend_ops dir_ops = {
    dir_get, dir_put, dir_prepare, dir_publish, dir_abandon, dir_list, dir_del, dir_stat, dir_close,
};

int backend_dir_open(const char *path, struct backend **ret, struct err *err)
{
    struct dir *d = calloc(1, sizeof *d);

    if (!d)
        return err_nomem(err);
    d->backend.ops = &dir_ops;
    d->token = guid_new();
    pthread_mutex_init(&d->lock, NULL);
    for (size_t i = 0; i < OPEN_FILES; i++)
        d->files[i].fd = -1;
    d->path = strdup(path);
    d->fd = d->path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (d->fd < 0) {
        int r = err_errno(err, d->path ? errno : ENOMEM, "cannot open the repository %s", path);
        dir_close(&d->backend);
        return r;
    }
    *ret = &d->backend;
    return 0;
}

/* Names that may stand in a folder that becomes a repository: those of a creation that was cut short. */
static bool harmless(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (strcmp(name, folders[i]) == 0)
            return true;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0;
}

/* Without its parents by default: where they are missing something is not mounted, as a rule, and the disk below would fill. */
static int backend_dir_make_folder(const char *path, bool make_parents, struct err *err)
{
    _cleanup_free_ char *parent = io_dirname(path);

    if (!parent)
        return err_nomem(err);
    if (!make_parents && access(parent, F_OK) < 0 && errno == ENOENT)
        return err_set(err, ENOENT,
                       "%s does not exist; if it is on a disk or share, mount that, or use --make-parents to create the folders", parent);
    return io_mkdir_p(path, 0700, err);
}

int backend_dir_create(const char *path, bool make_parents, struct err *err)
{
    int r = backend_dir_make_folder(path, make_parents, err);

    if (r < 0)
        return r;
    _cleanup_closedir_ DIR *dir = opendir(path);
    if (!dir)
        return err_errno(err, errno, "cannot create a repository in %s", path);
    int fd = dirfd(dir);
    if (faccessat(fd, "config", F_OK, 0) == 0)
        return err_set(err, EEXIST, "%s is already a repository", path);
    for (struct dirent *e; (e = readdir(dir));)
        if (!harmless(e->d_name))
            return err_set(err, ENOTEMPTY, "cannot create a repository in %s: it is not empty (it contains %s)", path, e->d_name);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
            return err_errno(err, errno, "cannot create %s/%s", path, folders[i]);
    return fsync(fd) < 0 ? err_errno(err, errno, "cannot write %s", path) : 0;
}

int64_t backend_dir_now(struct backend *b)
{
    struct dir *d = (struct dir *)b;
    struct iovec byte = { (char[]){ 0 }, 1 };
    char tmp[NAME_SIZE];
    struct stat st;

    if (b->ops != &dir_ops || write_tmp(d, &byte, 1, tmp) < 0)
        return 0;
    _cleanup_spot_ struct spot at = SPOT_NONE;
    int r = spot_open(d->fd, tmp, &at);
    if (r == 0)
        r = fstatat(at.fd, at.name, &st, AT_SYMLINK_NOFOLLOW);
    (void)spot_remove(d->fd, tmp);
    return r < 0 ? 0 : st.st_mtim.tv_sec * 1000000LL + st.st_mtim.tv_nsec / 1000;
}

void backend_dir_tidy(struct backend *b, int64_t age_us)
{
    struct dir *d = (struct dir *)b;
    int64_t now_us = backend_dir_now(b);

    if (now_us == 0)
        return;
    _cleanup_close_ int fd = spot_enter(d->fd, "tmp");
    int copy = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (now_us - st.st_mtim.tv_sec * 1000000LL > age_us)
            unlinkat(fd, e->d_name, 0);
    }
}
