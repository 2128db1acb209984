/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io_at.h"
#include "base/buf.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define EXFAT_MAGIC 0x2011bab0
#define FAT_ROOT 1u /* number of the root folder of these */
#define HANDLE_MAX 96u
#define BOOT_MAX 40u

/* Numbers of files on these are made up as they are looked at, and are others the next time. */
static bool makes_up_numbers(const struct statfs *fs)
{
    return fs->f_type == MSDOS_SUPER_MAGIC || fs->f_type == EXFAT_MAGIC;
}

static bool is_in_memory(int fd, const struct statfs *fs)
{
    char link[32], path[8] = "";

    if (fs->f_type == TMPFS_MAGIC || fs->f_type == RAMFS_MAGIC)
        return true;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof(path) - 1) > 0 && !strncmp(path, "/run/", 5); /* empty at every start, whatever it is on */
}

static void read_boot(char ret[static BOOT_MAX])
{
    _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, BOOT_MAX - 1);

    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

/* With the inode's generation in it: a number that was used before is told from that. FUSE makes handles up, too. */
static void add_handle(struct buf *b, int fd, const struct statfs *fs)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + HANDLE_MAX];
    } u = { .h = { .handle_bytes = HANDLE_MAX } };
    int mount;

    if (fs->f_type == FUSE_SUPER_MAGIC || fs->f_type == OVERLAYFS_SUPER_MAGIC || makes_up_numbers(fs) ||
        name_to_handle_at(fd, "", &u.h, &mount, AT_EMPTY_PATH) < 0)
        return;
    buf_addf(b, " handle=%x:", (unsigned)u.h.handle_type);
    for (unsigned i = 0; i < u.h.handle_bytes; i++)
        buf_addf(b, "%02x", u.h.f_handle[i]);
}

int io_id_of(int fd, struct io_id *ret)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char boot[BOOT_MAX] = "";
    struct statfs fs;
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    /* An overlay's folder is born again when the first file is made in it. */
    bool born = (st.stx_mask & STATX_BTIME) && fs.f_type != OVERLAYFS_SUPER_MAGIC;
    bool root = makes_up_numbers(&fs) && st.stx_ino == FAT_ROOT;
    buf_addf(&b, "dev=%u:%u", st.stx_dev_major, st.stx_dev_minor);
    if (fs.f_fsid.__val[0] || fs.f_fsid.__val[1])
        buf_addf(&b, " fs=%08x%08x", (unsigned)fs.f_fsid.__val[0], (unsigned)fs.f_fsid.__val[1]);
    if (!born || root || !makes_up_numbers(&fs))
        buf_addf(&b, " ino=%llu", (unsigned long long)st.stx_ino);
    if (born && !root)
        buf_addf(&b, " born=%lld.%09u", (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
    add_handle(&b, fd, &fs);
    if (is_in_memory(fd, &fs))
        read_boot(boot);
    if (*boot)
        buf_addf(&b, " boot=%s", boot);
    if (buf_addf(&b, "%s", "") < 0 || !b.data)
        return -ENOMEM;
    snprintf(ret->text, sizeof(ret->text), "%s", (const char *)b.data);
    return 0;
}

int io_id_at(int dir, const char *name, struct io_id *ret)
{
    _cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : io_id_of(fd, ret);
}

/* The value of " key=", and its length; NULL: it has none. */
static const char *io_at_value_of(const char *id, const char *key, size_t *ret_len)
{
    size_t n = strlen(key);

    for (const char *p = id; p && *p; p = strchr(p, ' ')) {
        p += *p == ' ';
        if (strncmp(p, key, n) || p[n] != '=')
            continue;
        *ret_len = strcspn(p + n + 1, " ");
        return p + n + 1;
    }
    return NULL;
}

/* 1: they are equal; -1: they differ; 0: one of them does not say. */
static int io_at_compare(const char *a, const char *b, const char *key)
{
    size_t na, nb;
    const char *va = io_at_value_of(a, key, &na), *vb = io_at_value_of(b, key, &nb);

    if (!va || !vb)
        return 0;
    return na == nb && !memcmp(va, vb, na) ? 1 : -1;
}

/* To the nanosecond, which two files do not share by chance; a file system's root was often born on the second. */
static bool born_at_one_moment(const char *a, const char *b)
{
    size_t n;
    const char *born = io_at_value_of(a, "born", &n);

    return io_at_compare(a, b, "born") > 0 && n > 10 && strncmp(born + n - 9, "000000000", 9) != 0;
}

bool io_id_same(const char *a, const char *b)
{
    int ino = io_at_compare(a, b, "ino"), born = io_at_compare(a, b, "born"), dev = io_at_compare(a, b, "dev"),
        fs = io_at_compare(a, b, "fs");

    if (ino < 0 || born < 0 || io_at_compare(a, b, "handle") < 0 || io_at_compare(a, b, "boot") < 0 || (ino == 0 && born == 0))
        return false;
    if (dev > 0)
        return fs >= 0;
    /* Mounted anew it may have another device number; XFS makes its own number of that one. */
    return fs > 0 || (ino > 0 && born_at_one_moment(a, b));
}

bool io_id_is_lost(const char *id)
{
    char boot[BOOT_MAX] = "";
    size_t n;
    const char *was = io_at_value_of(id, "boot", &n);

    if (!was)
        return false;
    read_boot(boot);
    return *boot && (strlen(boot) != n || strncmp(boot, was, n));
}

int io_fsync_at(int dir)
{
    _cleanup_close_ int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) /* EINVAL: a file system that does not know this for folders */
        return -errno;
    return 0;
}
