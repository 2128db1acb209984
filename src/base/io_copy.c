/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define COPY_STEP ((size_t)1 << 20)

/* Copies [off, end) through the buffer of COPY_STEP bytes. A source that became shorter meanwhile ends the copy early. */
static int io_copy_range(int in, int out, uint64_t off, uint64_t end, void *buffer)
{
    while (off < end) {
        ssize_t got = pread(in, buffer, num_min(COPY_STEP, end - off), (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        int r = io_pwrite(out, buffer, (size_t)got, off);
        if (r < 0)
            return r;
        off += (uint64_t)got;
    }
    return 0;
}

static int copy_data(int in, int out, uint64_t size)
{
    _cleanup_free_ void *buffer = malloc(COPY_STEP);
    uint64_t off = 0;

    if (!buffer)
        return -ENOMEM;
    if (ftruncate(out, (off_t)size) < 0)
        return -errno;
    while (off < size) {
        off_t data = lseek(in, (off_t)off, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0; /* a hole up to the end */
        off_t hole = data < 0 ? -1 : lseek(in, data, SEEK_HOLE);
        if (data < 0 || hole < 0) { /* a file system that knows no holes */
            data = (off_t)off;
            hole = (off_t)size;
        }
        int r = io_copy_range(in, out, (uint64_t)data, num_min((uint64_t)hole, size), buffer);
        if (r < 0)
            return r;
        off = (uint64_t)hole;
    }
    return 0;
}

static int copy_to(int in, int out, mode_t mode)
{
    struct stat st;

    if (fstat(in, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    int r = ioctl(out, FICLONE, in) == 0 ? 0 : copy_data(in, out, (uint64_t)st.st_size);
    if (r < 0)
        return r;
    return fchmod(out, mode) < 0 || fsync(out) < 0 ? -errno : 0;
}

int io_copy_file(const char *src, const char *dst, mode_t mode, struct err *err)
{
    _cleanup_close_ int in = io_open_file(src, O_RDONLY, err);
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;

    int r = in < 0 ? in : io_open_parent(dst, &dir, &name, err);
    if (r < 0) {
        err_context(err, "cannot copy %s", src);
        return r;
    }
    _cleanup_close_ int out = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return err_errno(err, errno, "cannot copy %s: cannot create %s", src, dst);
    if ((r = copy_to(in, out, mode)) < 0) {
        (void)unlinkat(dir, name, 0);
        return err_errno(err, -r, "cannot copy %s to %s", src, dst);
    }
    return 0;
}

int io_link_or_copy(const char *src, const char *dst, mode_t mode, struct err *err)
{
    _cleanup_(io_place_close) struct io_place from = { .dir = -1 }, to = { .dir = -1 };

    int r = io_open_place(src, &from, err);
    if (r < 0 || (r = io_open_parent(dst, &to.dir, &to.name, err)) < 0)
        return r;
    if (linkat(from.dir, from.name, to.dir, to.name, 0) == 0)
        return 0;
    switch (errno) {
    case EXDEV: /* other file system */
    case EPERM: /* file system without links, or a protected file (fs.protected_hardlinks) */
    case EMLINK:
    case EOPNOTSUPP: return io_copy_file(src, dst, mode, err);
    default: return err_errno(err, errno, "cannot link %s as %s", src, dst);
    }
}
