/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looked at by what is open, from the file up to the root folder. */
#include "base/runnable.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/strv.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LEVELS_MAX 256u

/* An access list that lets others write shows in the mode's group bits (its mask). */
static int runnable_check(const struct stat *st, uid_t also, const char *what, const char *path, struct err *err)
{
    if (st->st_uid != 0 && st->st_uid != also)
        return err_set(err, EPERM, "%s%s is owned by user %u, not by root%s", what, path, (unsigned)st->st_uid,
                       also ? " or by the user running kvss" : "");
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, EPERM, "%s%s can be changed by users other than %s: run chmod go-w on it", what, path,
                       also ? "its owner" : "root");
    return 0;
}

/* In a folder like /tmp nobody renames what is another's. */
static int check_above(int dir, uid_t also, const char *path, struct err *err)
{
    _cleanup_close_ int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    struct stat st, up;

    if (at < 0 || fstat(at, &st) < 0)
        return err_errno(err, errno, "cannot access the folders above %s", path);
    for (unsigned i = 0; i < LEVELS_MAX; i++) {
        int above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (above < 0)
            return err_errno(err, errno, "cannot access the folders above %s", path);
        close(at);
        at = above;
        if (fstat(at, &up) < 0)
            return err_errno(err, errno, "cannot access the folders above %s", path);
        if (up.st_dev == st.st_dev && up.st_ino == st.st_ino)
            return 0;
        st = up;
        if (up.st_mode & S_ISVTX)
            up.st_mode &= ~(mode_t)(S_IWGRP | S_IWOTH);
        int r = runnable_check(&up, also, "a folder above ", path, err);
        if (r < 0)
            return r;
    }
    return err_set(err, ELOOP, "%s has too many folders above it", path);
}

int runnable_open_folder(const char *dir, uid_t also, int *ret, struct err *err)
{
    _cleanup_close_ int at = -1;
    struct stat st;

    int r = io_open_folder(dir, &at, err);
    if (r < 0)
        return r;
    if (fstat(at, &st) < 0)
        return err_errno(err, errno, "cannot access %s", dir);
    if ((r = runnable_check(&st, also, "the folder ", dir, err)) < 0 || (r = check_above(at, also, dir, err)) < 0)
        return r;
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "cannot read the folder %s", dir);
    *ret = fd;
    return 0;
}

int runnable_open_file(int dir, const char *dir_path, const char *name, struct runnable_kind kind, int *ret, struct err *err)
{
    _cleanup_free_ char *path = io_path(dir_path, name);
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (!path)
        return err_nomem(err);
    if (fd < 0 && errno == ELOOP)
        return err_set(err, EPERM, "%s is a symbolic link: put the file itself there", path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EPERM, "%s is not a regular file", path);
    int r = runnable_check(&st, kind.also, "", path, err);
    if (r < 0)
        return r;
    if (kind.program && !(st.st_mode & S_IXUSR))
        return err_set(err, EACCES, "%s is not executable", path);
    *ret = TAKE_FD(fd);
    return 0;
}

int runnable_open(const char *path, struct runnable_kind kind, int *ret, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(path), *name = io_basename(path);
    _cleanup_close_ int fd = -1;

    if (!dir || !name)
        return err_nomem(err);
    int r = runnable_open_folder(dir, kind.also, &fd, err);
    return r < 0 ? r : runnable_open_file(fd, dir, name, kind, ret, err);
}

static bool is_runnable_name(const char *name, const char *suffix)
{
    size_t n = strlen(name), end = suffix ? strlen(suffix) : 0;

    return name[0] != '.' && name[n - 1] != '~' && (!end || (n > end && !strcmp(name + n - end, suffix)));
}

int runnable_names(int dir, const char *suffix, char ***ret)
{
    _cleanup_strv_ char **names = NULL;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d));)
        if (is_runnable_name(e->d_name, suffix) && strv_add(&names, e->d_name) < 0)
            return -ENOMEM;
    strv_sort(names);
    *ret = TAKE_PTR(names);
    return 0;
}
