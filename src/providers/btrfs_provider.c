/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `btrfs` provider: a volume is a subvolume, and its shadow copy a snapshot of it, which lies in it and is removed with the session.
 * What is in subvolumes below is not in it: they are volumes of their own. Clauses M9, M22. */
#include "base/buf.h"
#include "base/io.h"
#include "base/io_at.h"
#include "providers/volume_internal.h"
#include <btrfsutil.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SWAPS_MAX ((size_t)1 << 20)
#define SUBVOLUME_ROOT 256u /* BTRFS_FIRST_FREE_OBJECTID: the inode of each subvolume's own folder */

static int btrfs_failed(struct err *err, enum btrfs_util_error e, const char *doing, const char *path)
{
    int code = errno ? errno : EIO;

    return err_set(err, code, "cannot %s %s: %s (%s)", doing, path, btrfs_util_strerror(e), strerror(code));
}

/* A folder for ioctl(). */
static int open_subvolume(const char *path, struct err *err)
{
    _cleanup_close_ int dir = -1;

    int r = io_open_folder(path, &dir, err);
    if (r < 0)
        return r;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : err_errno(err, errno, "cannot read the folder %s", path);
}

/* ---- Whether ------------------------------------------------------------------------------------------------------------------*/

/* Snapshots lie in it: nobody may be able to put something else in their place. */
static bool holds_snapshots(const struct volume_provider *p, const char *path)
{
    _cleanup_free_ char *kept = NULL;
    bool same = false;
    uid_t uid;
    gid_t gid;

    hv_qemu_ids(p->config.hv, &uid, &gid);
    return io_kept_folder(path, uid, &kept, NULL) >= 0 && io_same_folder(kept, path, &same) >= 0 && same;
}

/* The kernel snapshots no subvolume that has a swap file in use. */
static bool has_swap(dev_t dev)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    char *save = NULL;
    struct stat st;

    if (io_read_file("/proc/swaps", SWAPS_MAX, &text, NULL) < 0 || !text.data)
        return false;
    for (char *line = strtok_r((char *)text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        line[strcspn(line, " \t")] = '\0';
        io_unescape_mount(line);
        if (line[0] == '/' && stat(line, &st) == 0 && st.st_dev == dev)
            return true;
    }
    return false;
}

static bool can_snapshot(int fd, struct stat *st)
{
    struct statvfs mounted;
    struct statfs fs;
    bool read_only = true;

    return fstat(fd, st) == 0 && st->st_ino == SUBVOLUME_ROOT && fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC &&
           fstatvfs(fd, &mounted) == 0 && !(mounted.f_flag & ST_RDONLY) &&
           btrfs_util_get_subvolume_read_only_fd(fd, &read_only) == BTRFS_UTIL_OK && !read_only && !has_swap(st->st_dev);
}

static int btrfs_supports(const struct volume_provider *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    _cleanup_close_ int fd = open_subvolume(volume->name, NULL);
    _cleanup_close_ int image = volume->path ? io_open_file(volume->path, O_PATH, NULL) : -1;
    struct stat st, st_image;

    (void)err;
    if (fd < 0 || !can_snapshot(fd, &st) || !holds_snapshots(p, volume->name))
        return 0;
    if (volume->target)
        *ret = image >= 0 && fstat(image, &st_image) == 0 && S_ISREG(st_image.st_mode) && st_image.st_dev == st.st_dev;
    else
        *ret = true;
    return 0;
}

/* ---- The copy -------------------------------------------------------------------------------------------------------------------*/

static int btrfs_copy(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    _cleanup_close_ int fd = open_subvolume(c->volume, err);
    _cleanup_free_ char *name = str_format(".kvss-%.8s-%.8s", c->set_id, c->snapshot_id), *path = name ? io_path(c->volume, name) : NULL;

    if (fd < 0)
        return fd;
    if (!path)
        return err_nomem(err);
    int r = volume_copy_effect(p, NULL, path, &c->fx, err);
    if (r < 0)
        return r;
    errno = 0;
    enum btrfs_util_error e = btrfs_util_create_snapshot_fd2(fd, fd, name, 0, NULL, NULL);
    if (e != BTRFS_UTIL_OK)
        return btrfs_failed(err, e, "create a snapshot of", c->volume);
    c->path = TAKE_PTR(path);
    return volume_effect_done(p, c->fx, err);
}

/* The images go back to the point: what came after it is in the overlays. */
static int btrfs_seal(struct volume_provider *p, struct volume_copy *c, struct err *err)
{
    int r = c->path ? volume_drop_overlays(p, c, err) : 0;

    if (r < 0 || !c->path)
        return r;
    _cleanup_close_ int fd = open_subvolume(c->path, err);
    if (fd < 0)
        return fd;
    errno = 0;
    enum btrfs_util_error e = btrfs_util_set_subvolume_read_only_fd(fd, true);
    return e == BTRFS_UTIL_OK ? 0 : btrfs_failed(err, e, "close the snapshot", c->path);
}

int btrfs_remove(int dir, const char *name, const char *path, struct err *err)
{
    _cleanup_close_ int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "cannot read the folder of %s", path);
    errno = 0;
    enum btrfs_util_error e = btrfs_util_delete_subvolume_fd(fd, name, 0);
    return e == BTRFS_UTIL_OK || errno == ENOENT ? 0 : btrfs_failed(err, e, "remove the snapshot", path);
}

/* ---- As a provider --------------------------------------------------------------------------------------------------------------*/

static const struct volume_kind btrfs_kind = {
    .name = "btrfs",
    .clones = true,
    .supports = btrfs_supports,
    .copy_volume = btrfs_copy,
    .seal_volume = btrfs_seal,
};

static int btrfs_new(const struct provider_context *context, void **ret, struct err *err)
{
    return volume_provider_new(&btrfs_kind, context, ret, err);
}

static const struct kvss_provider btrfs_ops = {
    .name = "btrfs",
    .id = "6f0c2f57-4f0e-4a39-8a1c-1d7b8c9e5b64",
    VOLUME_PROVIDER_OPS,
};

const struct builtin_provider btrfs_provider = {
    .ops = &btrfs_ops,
    .make = btrfs_new,
    .free = volume_provider_free,
    .verbs = volume_provider_verbs,
    .files_in_device = true,
    .priority = 5, /* of VM disks only where it is asked for: QEMU itself needs no overlay */
};
