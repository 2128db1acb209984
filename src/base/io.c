/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"
#include "base/guid.h"
#include "base/io_at.h"
#include "base/num.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LINKS_MAX 40u /* as the kernel */

int io_read(int fd, void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, (char *)p + done, n - done);
        if (got == 0)
            return -ENODATA;
        if (got < 0 && errno != EINTR)
            return -errno;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

int io_write(int fd, const void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = write(fd, (const char *)p + done, n - done);
        if (put < 0 && errno != EINTR)
            return -errno;
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

/* Offsets beyond what off_t holds would turn negative. */
static bool range_ok(uint64_t off, size_t n)
{
    uint64_t end;

    return num_add(off, n, &end) && end <= INT64_MAX;
}

int io_pread(int fd, void *p, size_t n, uint64_t off)
{
    if (!range_ok(off, n))
        return -EINVAL;
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(off + done));
        if (got == 0)
            return -ENODATA;
        if (got < 0 && errno != EINTR)
            return -errno;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

int io_pwrite(int fd, const void *p, size_t n, uint64_t off)
{
    if (!range_ok(off, n))
        return -EFBIG;
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(fd, (const char *)p + done, n - done, (off_t)(off + done));
        if (put < 0 && errno != EINTR)
            return -errno;
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

/* Reads to the end of fd; sizes that stat() tells are not believed (files below /proc say 0, others grow meanwhile). */
static int read_all(int fd, size_t max, struct buf *b)
{
    for (;;) {
        size_t step = num_min(64 * KIB, max - b->len + 1);
        if (buf_reserve(b, step) < 0)
            return -ENOMEM;
        ssize_t got = read(fd, b->data + b->len, step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        b->len += (size_t)got;
        b->data[b->len] = 0;
        if (got == 0)
            return 0;
        if (b->len > max)
            return -EFBIG;
    }
}

int io_read_file(const char *path, size_t max, struct buf *ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    /* O_NONBLOCK: a FIFO put in a file's place must not hang us; on ordinary files it does nothing. */
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (max > SIZE_MAX / 2)
        max = SIZE_MAX / 2;
    int r = read_all(fd, max, &b);
    if (r == -EFBIG)
        return err_set(err, EFBIG, "cannot read %s: it is longer than the %zu bytes allowed", path, max);
    if (r < 0)
        return err_errno(err, -r, "cannot read %s", path);
    buf_free(ret);
    *ret = b;
    b = (struct buf)BUF_INIT;
    return 0;
}

static int write_temporary(int fd, const void *p, size_t n, mode_t mode)
{
    int r = io_write(fd, p, n);

    if (r < 0)
        return r;
    return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int io_replace_file(const char *path, const void *p, size_t n, mode_t mode, struct err *err)
{
    _cleanup_close_ int dir = -1, fd = -1;
    _cleanup_free_ char *name = NULL;
    struct guid id = guid_new();
    char made[64];

    int r = io_open_parent(path, &dir, &name, err);
    if (r < 0) {
        err_context(err, "cannot write %s", path);
        return r;
    }
    snprintf(made, sizeof(made), IO_TEMPORARY_PREFIX "%.13s", id.text);
    if ((fd = openat(dir, made, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
        return err_errno(err, errno, "cannot write %s: cannot create a temporary file next to it", path);
    r = write_temporary(fd, p, n, mode);
    if (r == 0 && renameat(dir, made, dir, name) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(dir, made, 0);
    else
        r = io_fsync_at(dir);
    return r < 0 ? err_errno(err, -r, "cannot write %s", path) : 0;
}

int io_fsync_dir(const char *path, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "cannot open folder %s", path);
    if (fsync(fd) < 0 && errno != EINVAL) /* EINVAL: a file system that does not know this for folders */
        return err_errno(err, errno, "cannot sync folder %s to disk", path);
    return 0;
}

int io_fsync_parent(const char *path, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(path);

    if (!dir)
        return err_nomem(err);
    return io_fsync_dir(dir, err);
}

static int io_make_dir(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return 0;
    int e = errno;
    /* Also where it may not be made but is there: "/", a mount point, a read-only file system. */
    if (stat(path, &st) < 0)
        return -e;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_mkdir_p(const char *path, mode_t mode, struct err *err)
{
    _cleanup_free_ char *part = strdup(path);

    if (!part)
        return err_nomem(err);
    for (char *p = part; *p; p++) {
        if (*p != '/' || p == part)
            continue;
        *p = '\0';
        int r = io_make_dir(part, mode);
        if (r < 0)
            return err_errno(err, -r, "cannot create folder %s (for %s)", part, path);
        *p = '/';
    }
    int r = io_make_dir(part, mode);
    return r < 0 ? err_errno(err, -r, "cannot create folder %s", path) : 0;
}

int io_unlink(const char *path, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct err unreached = ERR_INIT;
    struct stat st;

    int r = io_open_parent(path, &dir, &name, &unreached);
    if (r < 0)
        return r == -ENOENT ? 0 : err_move(err, &unreached);
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    int why = errno; /* a read-only file system says so even of what is not there */
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    return err_errno(err, why, "cannot remove %s", path);
}

bool io_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *io_path(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    return str_format("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

char *io_dirname(const char *path)
{
    _cleanup_free_ char *copy = strdup(path);

    return copy ? strdup(dirname(copy)) : NULL;
}

char *io_basename(const char *path)
{
    _cleanup_free_ char *copy = strdup(path);

    return copy ? strdup(basename(copy)) : NULL;
}

/* One link further; NULL: out of memory. */
static char *io_step(const char *at, const char *target)
{
    _cleanup_free_ char *dir = io_dirname(at);

    return target[0] == '/' ? strdup(target) : dir ? io_path(dir, target) : NULL;
}

char *io_follow(const char *path)
{
    char *real = realpath(path, NULL);
    _cleanup_free_ char *at = real ? NULL : strdup(path);
    char target[PATH_MAX];
    ssize_t n = 0;

    if (real)
        return real;
    for (unsigned i = 0; at && i < LINKS_MAX && (n = readlink(at, target, sizeof target - 1)) >= 0; i++) {
        target[n] = '\0';
        char *next = io_step(at, target);
        free(at);
        at = next;
    }
    _cleanup_free_ char *dir = at ? io_dirname(at) : NULL;
    if (!dir)
        return NULL;
    return n < 0 && io_exists(dir) ? TAKE_PTR(at) : strdup(path);
}

/* The folder for private folders of this user. */
static int private_parent(char **ret, struct err *err)
{
    const char *dir = secure_getenv("XDG_RUNTIME_DIR");

    if (geteuid() == 0) {
        dir = "/run/kvss";
        int r = io_mkdir_p(dir, 0711, err); /* QEMU's user passes through to what is opened to it below */
        if (r < 0)
            return r;
    }
    if (!dir || dir[0] != '/')
        dir = secure_getenv("TMPDIR");
    if (!dir || dir[0] != '/')
        dir = "/tmp";
    *ret = strdup(dir);
    return *ret ? 0 : err_nomem(err);
}

int io_private_dir(const char *prefix, char **ret_path, struct err *err)
{
    _cleanup_free_ char *parent = NULL;

    int r = private_parent(&parent, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *path = str_format("%s/%s-XXXXXX", parent, prefix);
    if (!path)
        return err_nomem(err);
    if (!mkdtemp(path))
        return err_errno(err, errno, "cannot create a private folder in %s", parent);
    *ret_path = TAKE_PTR(path);
    return 0;
}

int io_space(const char *path, uint64_t *ret_free, uint64_t *ret_total, struct err *err)
{
    struct statvfs st;

    if (statvfs(path, &st) < 0)
        return err_errno(err, errno, "cannot determine the free space at %s", path);
    if (!num_mul(st.f_bavail, st.f_frsize, ret_free))
        *ret_free = UINT64_MAX;
    if (!num_mul(st.f_blocks, st.f_frsize, ret_total))
        *ret_total = UINT64_MAX;
    return 0;
}

int io_free_bytes(const char *path, uint64_t *ret, struct err *err)
{
    uint64_t total;

    return io_space(path, ret, &total, err);
}
