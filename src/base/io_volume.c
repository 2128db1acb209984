/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File systems of this host. */
#include "base/cleanup.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* btrfs gives each subvolume a device number of its own; the file system's identity is its UUID. 1: told, 0: no btrfs, or no telling. */
static int btrfs_id(int fd, uint8_t id[BTRFS_FSID_SIZE])
{
    struct btrfs_ioctl_fs_info_args info = { 0 };
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0 || fs.f_type != BTRFS_SUPER_MAGIC || ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0)
        return 0;
    memcpy(id, info.fsid, BTRFS_FSID_SIZE);
    return 1;
}

int io_same_volume(const char *dir_a, const char *dir_b, bool *ret)
{
    _cleanup_close_ int a = open(dir_a, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a < 0)
        return -errno;
    _cleanup_close_ int b = open(dir_b, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b < 0)
        return -errno;
    uint8_t id_a[BTRFS_FSID_SIZE], id_b[BTRFS_FSID_SIZE];
    struct stat sa, sb;

    if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0)
        return -errno;
    *ret = sa.st_dev == sb.st_dev || (btrfs_id(a, id_a) && btrfs_id(b, id_b) && memcmp(id_a, id_b, sizeof(id_a)) == 0);
    return 0;
}

void io_unescape_mount(char *s)
{
    char *to = s;

    for (const char *from = s; *from; to++) {
        bool octal =
            from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        if (!octal) {
            *to = *from++;
            continue;
        }
        *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
        from += 4;
    }
    *to = '\0';
}

bool io_is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (n == 1) /* "/" */
        return path[0] == '/';
    return !strncmp(path, dir, n) && (path[n] == '/' || path[n] == '\0');
}

const char *io_beyond(const char *path, const char *dir)
{
    return path + (dir[0] == '/' && !dir[1] ? 0 : strlen(dir));
}

int io_btrfs_subvolume(const char *path, const char *mount, char **ret)
{
    _cleanup_free_ char *at = strdup(path);
    struct statfs fs;
    struct stat st;

    *ret = NULL;
    while (at && io_is_below(at, mount) && statfs(at, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC) {
        if (lstat(at, &st) == 0 && S_ISDIR(st.st_mode) && st.st_ino == BTRFS_FIRST_FREE_OBJECTID) {
            *ret = TAKE_PTR(at);
            return 0;
        }
        char *parent = strcmp(at, mount) ? io_dirname(at) : NULL;
        if (!parent)
            return 0;
        free(at);
        at = parent;
    }
    return at ? 0 : -ENOMEM;
}
