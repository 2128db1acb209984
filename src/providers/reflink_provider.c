/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `reflink` provider: the shadow copy of a disk is a clone of its image that shares its blocks (XFS, btrfs), in a file of its own. A
 * clone of many extents takes long, and whoever writes the file waits for it: so nobody does, for the disk writes into an overlay. (Files
 * of other writers are shared this way by the provider `copy`.) Clauses M9, M22. */
#include "base/io.h"
#include "base/io_at.h"
#include "providers/volume_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRY_BYTES 65536u
/* The overlays grow while it is cloned. XFS and btrfs clone some 100,000 extents a second. */
#define EXTENTS_MAX 5000000u

static bool reflink_share(int from, int to, uint64_t n)
{
    struct file_clone_range range = { .src_fd = from, .src_length = n };

    return ioctl(to, FICLONERANGE, &range) == 0;
}

/* Its first blocks, into a file without a name. */
static int reflink_supports(const struct volume_provider *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    _cleanup_close_ int image = volume->target && volume->path ? io_open_file(volume->path, O_RDONLY, NULL) : -1;
    _cleanup_close_ int dir = -1, to = -1;
    _cleanup_free_ char *name = NULL, *real = NULL;
    struct stat st;

    (void)p;
    (void)err;
    if (image < 0 || fstat(image, &st) < 0 || !S_ISREG(st.st_mode) || io_real_path(volume->path, &real, NULL) < 0 ||
        io_open_parent(real, &dir, &name, NULL) < 0)
        return 0;
    to = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    *ret = to >= 0 && reflink_share(image, to, st.st_size > TRY_BYTES ? TRY_BYTES : 0);
    return 0;
}

static int reflink_check(struct volume_provider *p, const struct volume_disk *d, struct err *err)
{
    _cleanup_close_ int fd = io_open_file(d->path, O_RDONLY, err);
    _cleanup_free_ char *dir = NULL, *real = NULL, *beside = NULL;
    struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET };

    if (fd < 0)
        return fd;
    int r = io_real_path(d->path, &real, err);
    if (r >= 0)
        r = hv_scratch_dir(p->config.hv, d->path, NULL, &dir, err);
    beside = real ? io_dirname(real) : NULL;
    if (r >= 0 && (!dir || !beside || strcmp(dir, beside)))
        r = err_set(err, EOPNOTSUPP, "the clone of %s cannot be created next to it, because users other than root and QEMU can write there",
                    d->path);
    if (r < 0)
        return r;
    if (ioctl(fd, FS_IOC_FIEMAP, &map) < 0 || map.fm_mapped_extents <= EXTENTS_MAX)
        return 0;
    return err_set(err, EOPNOTSUPP,
                   "%s has %u extents, and cloning it would take minutes: use another provider, or rewrite the image with the VM off "
                   "(qemu-img convert)",
                   d->path, map.fm_mapped_extents);
}

static int reflink_make(const struct volume_disk *d, const char *path, struct err *err)
{
    _cleanup_close_ int from = io_open_file(d->path, O_RDONLY, err), dir = -1, to = -1;
    _cleanup_free_ char *name = NULL;

    if (from < 0)
        return from;
    int r = io_open_parent(path, &dir, &name, err);
    if (r < 0)
        return r;
    to = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return err_errno(err, errno, "cannot create %s", path);
    return reflink_share(from, to, 0) ? 0 : err_errno(err, errno, "cannot clone %s to %s", d->path, path);
}

static int reflink_copy(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err)
{
    _cleanup_free_ char *dir = NULL, *path = NULL;

    int r = hv_scratch_dir(p->config.hv, d->path, NULL, &dir, err);
    if (r >= 0 && !dir)
        r = err_set(err, EOPNOTSUPP, "there is no place for a clone of %s", d->path);
    if (r < 0)
        return r;
    path = str_format("%s/.kvss-%.8s-%.8s-%s.copy", dir, pt->set_id, pt->vm_uuid, d->target);
    if (!path)
        return err_nomem(err);
    r = volume_copy_effect(p, pt, path, &d->fx_copy, err);
    if (r >= 0)
        r = reflink_make(d, path, err);
    if (r >= 0)
        r = volume_effect_done(p, d->fx_copy, err);
    if (r >= 0)
        d->copy = TAKE_PTR(path);
    return r;
}

static const struct volume_kind reflink_kind = {
    .name = "reflink",
    .clones = true,
    .supports = reflink_supports,
    .check_disk = reflink_check,
    .copy_disk = reflink_copy,
};

static int reflink_new(const struct provider_context *context, void **ret, struct err *err)
{
    return volume_provider_new(&reflink_kind, context, ret, err);
}

static const struct kvss_provider reflink_ops = {
    .name = "reflink",
    .id = "c1b3a0de-7c1f-4df2-9f0b-52d8e6a49c07",
    VOLUME_PROVIDER_OPS,
};

const struct builtin_provider reflink_provider = {
    .ops = &reflink_ops,
    .make = reflink_new,
    .free = volume_provider_free,
    .priority = 4,
};
