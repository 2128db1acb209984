/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/spot.h"
#include "base/io_at.h"
#include "store/object/backend.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where a link leads to that is root's, or this user's. */
static int spot_follow(int top, const char *name)
{
    _cleanup_close_ int link = openat(top, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char target[PATH_MAX];
    struct stat st;
    int fd;

    if (link < 0 || fstat(link, &st) < 0)
        return -errno;
    if (!S_ISLNK(st.st_mode))
        return -ENOTDIR;
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return -ELOOP;
    ssize_t n = readlinkat(link, "", target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (target[0] == '/') {
        int r = io_open_folder(target, &fd, NULL);
        return r < 0 ? r : fd;
    }
    fd = openat(top, target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int spot_enter(int top, const char *folder)
{
    int fd = io_open_beneath(top, folder, O_RDONLY | O_DIRECTORY);
    char first[16];

    if (fd != -ELOOP && fd != -ENOTDIR) /* a link at the end is no folder */
        return fd;
    const char *rest = strchr(folder, '/');
    snprintf(first, sizeof first, "%.*s", rest ? (int)(rest - folder) : (int)sizeof first, folder);
    fd = spot_follow(top, first);
    if (fd < 0 || !rest)
        return fd;
    int below = io_open_beneath(fd, rest + 1, O_RDONLY | O_DIRECTORY);
    close(fd);
    return below;
}

int spot_open(int top, const char *path, struct spot *ret)
{
    char folder[BACKEND_NAME_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    int fd = slash ? spot_enter(top, folder) : fcntl(top, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return slash ? fd : -errno;
    *ret = (struct spot){ fd, slash ? slash + 1 : path };
    return 0;
}

void spot_close(struct spot *s)
{
    if (s->fd >= 0)
        close(s->fd);
}

int spot_remove(int top, const char *path)
{
    _cleanup_spot_ struct spot at = SPOT_NONE;
    int r = spot_open(top, path, &at);

    return r < 0 ? r : unlinkat(at.fd, at.name, 0) < 0 ? -errno : 0;
}

bool spot_is_there(int top, const char *path)
{
    _cleanup_spot_ struct spot at = SPOT_NONE;

    return spot_open(top, path, &at) == 0 && faccessat(at.fd, at.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int spot_rename(int top, const char *from, const char *to, unsigned flags)
{
    _cleanup_spot_ struct spot a = SPOT_NONE, b = SPOT_NONE;
    int r = spot_open(top, from, &a);

    if (r == 0)
        r = spot_open(top, to, &b);
    return r < 0 ? r : renameat2(a.fd, a.name, b.fd, b.name, flags) < 0 ? -errno : 0;
}

int spot_link(int top, const char *from, const char *to)
{
    _cleanup_spot_ struct spot a = SPOT_NONE, b = SPOT_NONE;
    int r = spot_open(top, from, &a);

    if (r == 0)
        r = spot_open(top, to, &b);
    return r < 0 ? r : linkat(a.fd, a.name, b.fd, b.name, 0) < 0 ? -errno : 0;
}
