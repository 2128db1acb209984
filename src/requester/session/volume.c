/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which volume holds a file: the mount point of its file system, of btrfs the folder of the subvolume; for what is no file, its locator;
 * a block device is one itself. */
#include "base/io.h"
#include "requester/session/session.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO_MAX ((size_t)16 << 20)
#define MOUNTINFO_MOUNT_POINT 4 /* field, counted from 0 (proc(5)) */

/* The mount point of one line of mountinfo, or NULL. Caller frees. */
static char *mount_point(const char *line, size_t len)
{
    const char *end = line + len;

    for (int field = 0; field < MOUNTINFO_MOUNT_POINT; field++) {
        line = memchr(line, ' ', (size_t)(end - line));
        if (!line)
            return NULL;
        line++;
    }
    const char *stop = memchr(line, ' ', (size_t)(end - line));
    if (!stop)
        return NULL;
    char *s = strndup(line, (size_t)(stop - line));
    if (s)
        io_unescape_mount(s);
    return s;
}

int volume_find(const char *mountinfo, const char *path, char **ret_volume, struct err *err)
{
    _cleanup_free_ char *best = NULL;

    for (const char *line = mountinfo; *line;) {
        size_t len = strcspn(line, "\n");
        _cleanup_free_ char *m = mount_point(line, len);
        if (m && m[0] == '/' && io_is_below(path, m) && (!best || strlen(m) >= strlen(best))) {
            free(best);
            best = TAKE_PTR(m);
        }
        line += len + (line[len] == '\n');
    }
    if (!best)
        return err_set(err, ENOENT, "no mounted file system contains %s", path);
    *ret_volume = TAKE_PTR(best);
    return 0;
}

/* realpath() of the longest part of path that exists. Caller frees. */
static char *existing_part(const char *path)
{
    _cleanup_free_ char *part = strdup(path);

    while (part) {
        char *real = realpath(part, NULL);
        if (real || errno == ENOMEM || !strcmp(part, "/"))
            return real;
        char *parent = io_dirname(part);
        free(part);
        part = parent;
    }
    return NULL;
}

int volume_of(void *priv, const char *path, char **ret_volume, struct err *err)
{
    _cleanup_buf_ struct buf mounts = BUF_INIT;
    struct stat st;

    (void)priv;
    if (path[0] != '/' || (stat(path, &st) == 0 && S_ISBLK(st.st_mode))) {
        *ret_volume = strdup(path);
        return *ret_volume ? 0 : err_nomem(err);
    }
    _cleanup_free_ char *real = existing_part(path);
    if (!real)
        return err_errno(err, errno, "cannot determine the volume of %s", path);
    int r = io_read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &mounts, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *mount = NULL, *subvolume = NULL;
    r = volume_find(mounts.data ? (const char *)mounts.data : "", real, &mount, err);
    if (r < 0)
        return r;
    if (io_btrfs_subvolume(real, mount, &subvolume) < 0)
        return err_nomem(err);
    *ret_volume = subvolume ? TAKE_PTR(subvolume) : TAKE_PTR(mount);
    return 0;
}

int volume_mounts_below(const char *path, bool *ret, struct err *err)
{
    _cleanup_buf_ struct buf mounts = BUF_INIT;

    int r = io_read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &mounts, err);
    *ret = false;
    for (const char *line = r < 0 || !mounts.data ? "" : (const char *)mounts.data; *line && !*ret;) {
        size_t len = strcspn(line, "\n");
        _cleanup_free_ char *m = mount_point(line, len);
        *ret = m && strcmp(m, path) != 0 && io_is_below(m, path);
        line += len + (line[len] == '\n');
    }
    return r;
}
