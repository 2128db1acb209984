/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The little that the begin of an image tells, read without QEMU's tools: for lists of many VMs, none of which is to be waited for. */
#include "base/io.h"
#include "base/io_at.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/image/image.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QCOW2_MAGIC 0x514649fbu
#define BACKING_NAME_MAX 1023u /* of the format */
#define SECTOR 512u

/* The first fields of the format qcow2, big endian. */
struct qcow2_head {
    uint32_t magic, version;
    uint64_t backing_offset;
    uint32_t backing_length, cluster_bits;
    uint64_t size;
};

static int read_backing(int fd, const struct qcow2_head *h, char **ret)
{
    uint64_t offset = be64toh(h->backing_offset);
    uint32_t n = be32toh(h->backing_length);

    if (!offset || !n)
        return 0;
    char *name = n <= BACKING_NAME_MAX && offset <= (uint64_t)INT64_MAX - n ? calloc(n + 1, 1) : NULL;
    if (!name || pread(fd, name, n, (off_t)offset) != (ssize_t)n) {
        free(name);
        return -EUCLEAN;
    }
    *ret = name;
    return 0;
}

static int read_qcow2(int fd, struct image_head *ret)
{
    struct qcow2_head h;

    if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || be32toh(h.magic) != QCOW2_MAGIC)
        return -EUCLEAN;
    ret->size = be64toh(h.size);
    return read_backing(fd, &h, &ret->backing);
}

static int read_raw(int fd, struct image_head *ret)
{
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0)
        return -errno;
    ret->size = ((uint64_t)end + SECTOR - 1) / SECTOR * SECTOR;
    return 0;
}

int image_head_read(const char *path, const char *format, struct image_head *ret)
{
    bool qcow2 = strcmp(format, "qcow2") == 0;
    struct image_head head = { 0 };
    struct stat st;
    char self[32];

    if (!qcow2 && strcmp(format, "raw") != 0)
        return -EOPNOTSUPP;
    _cleanup_close_ int there = io_open_file(path, O_PATH, NULL);
    if (there < 0 || fstat(there, &st) < 0)
        return there < 0 ? there : -errno;
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) /* to open another kind of device may be enough to do something to it */
        return -EINVAL;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", there);
    _cleanup_close_ int fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = qcow2 ? read_qcow2(fd, &head) : read_raw(fd, &head);
    if (r == 0)
        *ret = head;
    return r;
}
