/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images made beforehand for QEMU to write: libvirt would make them one after the other, through QEMU, while the guest is held. */
#include "hypervisor/job/new_image.h"
#include "base/io_at.h"
#include "hypervisor/image/image.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU's user may write the open, new file; its path still leads to it. */
static int give(struct hv *hv, const struct new_image *i, int dir, const char *name, int fd, struct err *err)
{
    struct stat made, there;
    uid_t uid;
    gid_t gid;

    hv_qemu_ids(hv, &uid, &gid);
    if (fchmod(fd, 0600) < 0 || (geteuid() == 0 && fchown(fd, uid, gid) < 0))
        return err_errno(err, errno, "cannot give %s %s to QEMU", i->what, i->path);
    if (fstat(fd, &made) < 0 || fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0 || made.st_dev != there.st_dev ||
        made.st_ino != there.st_ino)
        return err_set(err, EEXIST, "%s %s was replaced by someone else", i->what, i->path);
    return 0;
}

static int format(int fd, const struct new_image *i, struct err *err)
{
    return i->backing ? image_make_overlay(fd, i->path, i->backing, i->backing_format, i->size, err)
                      : hv_image_make(fd, i->path, "qcow2", i->size, NULL, err);
}

int new_image_make(struct hv *hv, const struct new_image *i, struct err *err)
{
    _cleanup_close_ int dir = -1, fd = -1;
    _cleanup_free_ char *name = NULL;

    int r = io_open_parent(i->path, &dir, &name, err);
    if (r < 0)
        return r;
    fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return err_set(err, errno, "no permission to create %ss in %.*s (running as user %u): run kvss as root, or set snapshot-dir",
                       i->what, (int)(strlen(i->path) - strlen(name) - 1), i->path, geteuid());
    if (fd < 0)
        r = err_errno(err, errno, "cannot create %s", i->path);
    else if ((r = format(fd, i, err)) >= 0)
        r = give(hv, i, dir, name, fd, err);
    if (r < 0 && fd >= 0)
        (void)unlinkat(dir, name, 0);
    return r < 0 ? r : 0;
}

void new_image_drop(const char *path)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    if (io_open_parent(path, &dir, &name, NULL) >= 0)
        (void)unlinkat(dir, name, 0);
}
