/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"
#include "base/io_at.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Each level holds a descriptor open. */
#define TREE_DEPTH_MAX 128

/* Where a folder is mounted: bind mounts have the device of their origin, so the mount's own id counts too (kernel 5.8). */
struct tree_place {
    uint32_t major, minor;
    uint64_t mount;
};

static int tree_place_of(int fd, struct tree_place *ret)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
        return -errno;
    *ret = (struct tree_place){ st.stx_dev_major, st.stx_dev_minor, st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0 };
    return 0;
}

static bool same_place(const struct tree_place *a, const struct tree_place *b)
{
    return a->major == b->major && a->minor == b->minor && a->mount == b->mount;
}

static int remove_at(int dir, const char *name, const struct tree_place *top, unsigned depth);

static int remove_entries(int dir, const struct tree_place *top, unsigned depth)
{
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    _cleanup_closedir_ DIR *d = fdopendir(copy);
    if (!d) {
        int e = errno;
        close(copy);
        return -e;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int r = remove_at(dir, entry->d_name, top, depth + 1);
        if (r < 0)
            return r;
    }
}

/* top: where the tree's root is, NULL for the root itself. Works on names relative to open folders, so that nobody can lead it
 * elsewhere by swapping a folder for a link. */
static int remove_at(int dir, const char *name, const struct tree_place *top, unsigned depth)
{
    struct tree_place here;

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int cause = errno;
    if (depth > TREE_DEPTH_MAX)
        return -ELOOP;
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? -cause : -errno;
    int r = tree_place_of(fd, &here);
    if (r < 0)
        return r;
    if (top && !same_place(top, &here))
        return -EXDEV;
    r = remove_entries(fd, top ? top : &here, depth);
    if (r < 0)
        return r;
    return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int io_remove_tree_at(int dir, const char *name)
{
    return remove_at(dir, name, NULL, 0);
}

int io_remove_tree(const char *path, struct err *err)
{
    int r = remove_at(AT_FDCWD, path, NULL, 0);

    if (r == -EXDEV)
        return err_set(err, EXDEV, "cannot remove %s: another file system is mounted below it", path);
    return r < 0 ? err_errno(err, -r, "cannot remove %s", path) : 0;
}
