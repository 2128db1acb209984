/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file system in a snapshot of a logical volume: mounted in a folder of the session, where nobody but root looks. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/io_at.h"
#include "providers/lvm_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define FLAGS (MS_NODEV | MS_NOSUID | MS_NOEXEC)
#define MOUNTINFO_MAX ((size_t)16 << 20)
#define BUSY_TRIES 20u /* somebody else may just have looked into it */
#define BUSY_WAIT_MS 100u

const char *lvm_mountable(const char *folder)
{
    struct statfs fs;

    if (statfs(folder, &fs) < 0)
        return NULL;
    return fs.f_type == EXT4_SUPER_MAGIC ? "ext4" : fs.f_type == XFS_SUPER_MAGIC ? "xfs" : NULL; /* ext4: and ext3, ext2 */
}

/* A file of the original has the same handle in the snapshot. So what is mounted of the original may be any folder of it. */
static int find_same(const char *folder, const char *at, char **ret, struct err *err)
{
    _cleanup_free_ struct file_handle *h = malloc(sizeof(*h) + MAX_HANDLE_SZ);
    _cleanup_close_ int root = io_open_file(at, O_RDONLY | O_DIRECTORY, err), original = -1, there = -1;
    char path[PATH_MAX];
    int mount_id;

    if (root < 0 || (original = io_open_file(folder, O_PATH | O_DIRECTORY, err)) < 0)
        return root < 0 ? root : original;
    if (!h)
        return err_nomem(err);
    h->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(original, "", h, &mount_id, AT_EMPTY_PATH) < 0 || (there = open_by_handle_at(root, h, O_PATH | O_CLOEXEC)) < 0)
        return err_errno(err, errno, "cannot find %s in its snapshot", folder);
    _cleanup_free_ char *link = str_format("/proc/self/fd/%d", there);
    ssize_t n = link ? readlink(link, path, sizeof(path) - 1) : -1;
    if (n < 0)
        return err_errno(err, errno, "cannot find the folder of %s in its snapshot", folder);
    path[n] = '\0';
    *ret = strdup(path);
    return *ret ? 0 : err_nomem(err);
}

int lvm_mount(const char *device, const char *type, const char *at, const char *folder, char **ret, struct err *err)
{
    _cleanup_free_ char *name = NULL, *target = NULL;
    _cleanup_close_ int dir = -1;

    int r = io_open_parent(at, &dir, &name, err);
    if (r < 0)
        return r;
    if (!(target = str_format("/proc/self/fd/%d/%s", dir, name)))
        return err_nomem(err);
    if (mkdirat(dir, name, 0700) < 0)
        return err_errno(err, errno, "cannot create the folder %s", at);
    if (mount(device, target, type, FLAGS, strcmp(type, "xfs") ? "errors=remount-ro" : "nouuid") < 0)
        return err_errno(err, errno, "cannot mount the snapshot %s (%s) in %s", device, type, at);
    return find_same(folder, at, ret, err);
}

int lvm_mount_close(const char *at, struct err *err)
{
    unsigned tries = 0;

    while (mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY | FLAGS, NULL) < 0) {
        if (errno != EBUSY)
            return err_errno(err, errno, "cannot remount the shadow copy in %s read-only", at);
        if (++tries == BUSY_TRIES)
            return err_set(err, EBUSY, "a program still has files of the shadow copy in %s open for writing", at);
        clock_sleep_ms(BUSY_WAIT_MS);
    }
    return 0;
}

/* ---- The undo -----------------------------------------------------------------------------------------------------------------*/

static int unmount(const struct journal_place *p, struct err *err)
{
    _cleanup_free_ char *at = str_format("/proc/self/fd/%d/%s", p->dir, p->name);
    unsigned tries = 0;

    if (!at)
        return err_nomem(err);
    while (umount2(at, UMOUNT_NOFOLLOW) < 0) {
        if (errno != EBUSY || ++tries == BUSY_TRIES)
            return err_errno(err, errno, "cannot unmount %s", p->path);
        clock_sleep_ms(BUSY_WAIT_MS);
    }
    return 0;
}

/* By the kernel's list: a file system that has shut down answers no question. 1: *ret is the device of what is mounted last at path. */
static int mounted_at(const char *path, dev_t *ret, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    char *save = NULL;
    int found = 0;

    int r = io_read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &text, err);
    for (char *line = r < 0 || !text.data ? NULL : strtok_r((char *)text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned major, minor;
        char at[PATH_MAX];
        if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &major, &minor, at) != 3)
            continue;
        io_unescape_mount(at);
        if (!strcmp(at, path)) {
            *ret = makedev(major, minor);
            found = 1;
        }
    }
    return r < 0 ? r : found;
}

/* Something is mounted there: only what this session mounted is touched. */
static int undo_mounted(const struct journal_effect *e, const struct journal_place *p, dev_t dev, struct err *err)
{
    _cleanup_free_ char *id = lvm_device_id(dev);
    const char *was = journal_value(e, "device");

    if (!id || !was || strcmp(id, was))
        return journal_left_alone(p->path, err);
    return unmount(p, err);
}

int lvm_undo_mount(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };
    dev_t dev;

    (void)ctx;
    int r = journal_place_open(e, "path", &p, err);
    if (r <= 0)
        return r;
    while ((r = mounted_at(p.path, &dev, err)) > 0)
        if ((r = undo_mounted(e, &p, dev, err)) != 0)
            return r;
    if (r < 0)
        return r;
    return unlinkat(p.dir, p.name, AT_REMOVEDIR) < 0 && errno != ENOENT ? err_errno(err, errno, "cannot remove %s", p.path) : 0;
}
