/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a place is reached: from folder to folder, each open, so that it is the one that was looked at. Where there is no symbolic link on
 * the way, which the kernel tells (openat2), that is one call. */
#include "base/buf.h"
#include "base/io.h"
#include "base/io_at.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LINKS_MAX 40u /* as the kernel */
#define LEVELS_MAX 256u

struct reach_walk {
    const char *path; /* as it was asked for */
    unsigned links;   /* followed so far */
};

static int open_how(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    const struct open_how how = { .flags = flags, .resolve = resolve };
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

/* An old kernel; or a filter of system calls, which refuses what it does not know. */
static bool reach_is_unknown(int r)
{
    return r == -ENOSYS || r == -EPERM;
}

static int cannot_reach(const struct reach_walk *w, int why, struct err *err)
{
    return err_errno(err, why, "cannot access folder %s", w->path);
}

static char *place_text(int dir, const char *name)
{
    char self[32], at[PATH_MAX];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
    ssize_t n = readlink(self, at, sizeof(at) - 1);
    if (n < 0)
        return NULL;
    at[n] = '\0';
    return name ? io_path(at, name) : strdup(at);
}

/* ---- Whom to believe --------------------------------------------------------------------------------------------------------*/

static bool reach_is_ours(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* An access list that lets others write shows in the mode's group bits (its mask). In a sticky folder entries are their owners'. */
static bool is_kept(const struct stat *st, uid_t also)
{
    bool group = (st->st_mode & S_IWGRP) && st->st_gid != 0 && (geteuid() == 0 || st->st_gid != getegid());

    if (!reach_is_ours(st->st_uid) && st->st_uid != also)
        return false;
    return (!group && !(st->st_mode & S_IWOTH)) || (st->st_mode & S_ISVTX);
}

bool io_is_kept(int dir, uid_t also)
{
    struct stat st;

    return fstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && is_kept(&st, also);
}

static int refuse_link(const struct reach_walk *w, int dir, const char *name, const char *target, uid_t owner, struct err *err)
{
    _cleanup_free_ char *at = place_text(dir, name);
    const char *link = at ? at : name;
    bool itself = !strcmp(link, w->path), others = !reach_is_ours(owner);
    char whose[64];

    snprintf(whose, sizeof(whose), others ? "belongs to user %u" : "is in a folder where other users can replace it", (unsigned)owner);
    return err_set(err, EPERM, "%s%s%s is a symbolic link to %s that %s. Such links are not followed: name the actual path, or %s",
                   itself ? "" : w->path, itself ? "" : " cannot be accessed: ", link, target, whose,
                   others ? "change the owner of the link to root" : "let only root write to that folder");
}

/* What the open link (O_PATH) in dir holds, if it may be followed. Caller frees. */
static int read_link(struct reach_walk *w, int dir, const char *name, int link, char **ret, struct err *err)
{
    char target[PATH_MAX];
    struct stat st, up;
    ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

    if (n < 0 || fstat(link, &st) < 0 || fstat(dir, &up) < 0)
        return err_errno(err, errno, "cannot access %s: cannot read the symbolic link %s", w->path, name);
    target[n] = '\0';
    if (!reach_is_ours(st.st_uid) || !is_kept(&up, 0))
        return refuse_link(w, dir, name, target, st.st_uid, err);
    if (++w->links > LINKS_MAX)
        return cannot_reach(w, ELOOP, err);
    *ret = strdup(target);
    return *ret ? 0 : err_nomem(err);
}

/* ---- The way ----------------------------------------------------------------------------------------------------------------*/

static int open_top(int base, const char *path)
{
    return openat(base, path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Takes the first name off rest, in place; NULL: none is left. */
static char *next_name(char **rest)
{
    char *name = *rest + strspn(*rest, "/");
    size_t n = strcspn(name, "/");

    if (!n)
        return NULL;
    *rest = name + n + (name[n] == '/');
    name[n] = '\0';
    return name;
}

/* One name further. 0: *dir is the folder; 1: it is a link, *ret_target is what it holds. O_DIRECTORY has an automount mounted. */
static int reach_step(struct reach_walk *w, int *dir, const char *name, char **ret_target, struct err *err)
{
    int fd = openat(*dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        close(*dir);
        *dir = fd;
        return 0;
    }
    if (errno != ENOTDIR && errno != ELOOP)
        return cannot_reach(w, errno, err);
    _cleanup_close_ int link = openat(*dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (link < 0 || fstat(link, &st) < 0)
        return cannot_reach(w, errno, err);
    if (!S_ISLNK(st.st_mode))
        return cannot_reach(w, ENOTDIR, err);
    int r = read_link(w, *dir, name, link, ret_target, err);
    return r < 0 ? r : 1;
}

static int walk_links(struct reach_walk *w, int base, const char *path, int *ret, struct err *err)
{
    _cleanup_free_ char *left = strdup(path);
    _cleanup_close_ int dir = open_top(base, path);
    char *rest = left;
    const char *name;

    if (!left || dir < 0)
        return left ? cannot_reach(w, errno, err) : err_nomem(err);
    while ((name = next_name(&rest))) {
        _cleanup_free_ char *target = NULL;
        int r = reach_step(w, &dir, name, &target, err);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        int top = open_top(dir, target);
        char *more = str_format("%s/%s", target, rest);
        if (top < 0 || !more) {
            free(more);
            cleanup_close_p(&top);
            return cannot_reach(w, more ? errno : ENOMEM, err);
        }
        close(dir);
        dir = top;
        free(left);
        left = rest = more;
    }
    *ret = TAKE_FD(dir);
    return 0;
}

/* base: where a path that is relative begins. */
static int walk_folder(struct reach_walk *w, int base, const char *path, int *ret, struct err *err)
{
    int fd = open_how(base, path, O_PATH | O_DIRECTORY | O_CLOEXEC, RESOLVE_NO_SYMLINKS);

    if (fd >= 0) {
        *ret = fd;
        return 0;
    }
    return fd == -ELOOP || reach_is_unknown(fd) ? walk_links(w, base, path, ret, err) : cannot_reach(w, -fd, err);
}

static int walk_parent(struct reach_walk *w, int base, const char *path, struct io_place *ret, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(path), *name = io_basename(path);
    int fd = -1;

    if (!dir || !name)
        return err_nomem(err);
    int r = walk_folder(w, base, dir, &fd, err);
    if (r < 0)
        return r;
    io_place_close(ret);
    *ret = (struct io_place){ .dir = fd, .name = TAKE_PTR(name) };
    return 0;
}

/* ---- For others -------------------------------------------------------------------------------------------------------------*/

void io_place_close(struct io_place *p)
{
    cleanup_close_p(&p->dir);
    free(p->name);
    *p = (struct io_place){ .dir = -1 };
}

int io_open_folder(const char *path, int *ret, struct err *err)
{
    struct reach_walk w = { .path = path };

    return walk_folder(&w, AT_FDCWD, path, ret, err);
}

int io_open_parent(const char *path, int *ret_dir, char **ret_name, struct err *err)
{
    struct io_place p = { .dir = -1 };
    _cleanup_free_ char *dir = io_dirname(path);
    struct reach_walk w = { .path = dir };

    int r = dir ? walk_parent(&w, AT_FDCWD, path, &p, err) : err_nomem(err);
    if (r < 0)
        return r;
    *ret_dir = p.dir;
    *ret_name = p.name;
    return 0;
}

/* 1 and what it holds: there is a link, to be followed. */
static int link_at_end(struct reach_walk *w, const struct io_place *p, char **ret, struct err *err)
{
    _cleanup_close_ int fd = openat(p->dir, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "cannot access %s", w->path);
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot access %s", w->path);
    if (!S_ISLNK(st.st_mode))
        return 0;
    int r = read_link(w, p->dir, p->name, fd, ret, err);
    return r < 0 ? r : 1;
}

int io_open_place(const char *path, struct io_place *ret, struct err *err)
{
    _cleanup_(io_place_close) struct io_place p = { .dir = -1 };
    struct reach_walk w = { .path = path };

    int r = walk_parent(&w, AT_FDCWD, path, &p, err);
    while (r >= 0) {
        _cleanup_free_ char *target = NULL;
        if ((r = link_at_end(&w, &p, &target, err)) <= 0)
            break;
        r = walk_parent(&w, p.dir, target, &p, err);
    }
    if (r < 0)
        return r;
    *ret = p;
    ret->links = w.links;
    p = (struct io_place){ .dir = -1 };
    return 0;
}

char *io_place_path(const struct io_place *p)
{
    return place_text(p->dir, p->name);
}

int io_real_path(const char *path, char **ret, struct err *err)
{
    _cleanup_(io_place_close) struct io_place p = { .dir = -1 };

    int r = io_open_place(path, &p, err);
    if (r < 0)
        return r;
    *ret = io_place_path(&p);
    return *ret ? 0 : err_errno(err, errno, "cannot determine where %s leads", path);
}

int io_open_entry(const char *path, int flags, struct err *err)
{
    const int all = flags | O_NOFOLLOW | O_CLOEXEC | ((flags & O_PATH) ? 0 : O_NOCTTY | O_NONBLOCK);
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int fd = open_how(AT_FDCWD, path, (uint64_t)(unsigned)all, RESOLVE_NO_SYMLINKS);
    if (fd >= 0 || (fd != -ELOOP && !reach_is_unknown(fd)))
        return fd >= 0 ? fd : err_errno(err, -fd, "cannot open %s", path);
    int r = io_open_parent(path, &dir, &name, err);
    if (r < 0)
        return r;
    fd = openat(dir, name, all);
    return fd >= 0 ? fd : err_errno(err, errno, "cannot open %s", path);
}

int io_open_file(const char *path, int flags, struct err *err)
{
    _cleanup_(io_place_close) struct io_place p = { .dir = -1 };
    const int all = flags | O_CLOEXEC | ((flags & O_PATH) ? 0 : O_NOCTTY | O_NONBLOCK);

    int fd = open_how(AT_FDCWD, path, (uint64_t)(unsigned)all, RESOLVE_NO_SYMLINKS);
    if (fd >= 0 || (fd != -ELOOP && !reach_is_unknown(fd)))
        return fd >= 0 ? fd : err_errno(err, -fd, "cannot open %s", path);
    int r = io_open_place(path, &p, err);
    if (r < 0)
        return r;
    fd = openat(p.dir, p.name, all | O_NOFOLLOW);
    return fd >= 0 ? fd : err_errno(err, errno, "cannot open %s", path);
}

/* As the kernel would with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS. */
static int walk_beneath(int dir, const char *below, int flags)
{
    _cleanup_free_ char *left = strdup(below);
    _cleanup_close_ int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    char *rest = left;
    const char *name;

    if (!left || at < 0)
        return left ? -errno : -ENOMEM;
    while ((name = next_name(&rest))) {
        bool last = rest[strspn(rest, "/")] == '\0';
        if (!strcmp(name, ".."))
            return -EXDEV;
        int fd = openat(at, name, last ? flags | O_NOFOLLOW | O_CLOEXEC : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        close(at);
        at = fd;
    }
    return TAKE_FD(at);
}

int io_open_beneath(int dir, const char *below, int flags)
{
    if (below[0] == '/')
        return -EXDEV;
    int fd = open_how(dir, below, (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    return reach_is_unknown(fd) ? walk_beneath(dir, below, flags) : fd;
}

/* Climbs from dir, taking it over, to the root; *ret is the deepest folder above which, itself included, all are kept. -1: none. */
static int deepest_kept(int dir, uid_t also, int *ret)
{
    _cleanup_close_ int at = dir, kept = -1;
    struct stat st, up;

    for (unsigned i = 0; i < LEVELS_MAX; i++) {
        if (fstat(at, &st) < 0)
            return -errno;
        if (!is_kept(&st, also))
            cleanup_close_p(&kept), kept = -1;
        else if (kept < 0 && (kept = fcntl(at, F_DUPFD_CLOEXEC, 3)) < 0)
            return -errno;
        int above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (above < 0)
            return -errno;
        close(at);
        at = above;
        if (fstat(at, &up) < 0)
            return -errno;
        if (up.st_dev == st.st_dev && up.st_ino == st.st_ino) {
            *ret = TAKE_FD(kept);
            return 0;
        }
    }
    return -ELOOP;
}

int io_same_folder(const char *a, const char *b, bool *ret)
{
    _cleanup_close_ int x = -1, y = -1;
    struct stat sx, sy;

    int r = io_open_folder(a, &x, NULL);
    if (r < 0 || (r = io_open_folder(b, &y, NULL)) < 0)
        return r;
    if (fstat(x, &sx) < 0 || fstat(y, &sy) < 0)
        return -errno;
    *ret = sx.st_dev == sy.st_dev && sx.st_ino == sy.st_ino;
    return 0;
}

int io_kept_folder(const char *dir, uid_t also, char **ret, struct err *err)
{
    _cleanup_close_ int kept = -1;
    int fd = -1;

    int r = io_open_folder(dir, &fd, err);
    if (r < 0)
        return r;
    if ((r = deepest_kept(fd, also, &kept)) < 0)
        return err_errno(err, -r, "cannot access the folders above %s", dir);
    if (kept < 0)
        return err_set(err, EPERM, "users other than root can replace every folder on the path to %s", dir);
    *ret = place_text(kept, NULL);
    return *ret ? 0 : err_errno(err, errno, "cannot access the folders above %s", dir);
}
