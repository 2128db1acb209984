/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an ordinary file (a memory image, a large part of a VM): its data, not its holes. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "transfer/transfer_read.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int file_open_file(const char *path, uint64_t *ret_size, struct err *err)
{
    _cleanup_close_ int fd = io_open_file(path, O_RDONLY, err);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "%s is not a regular file", path);
    *ret_size = (uint64_t)st.st_size;
    return TAKE_FD(fd);
}

int source_file_size(const char *path, uint64_t *ret, struct err *err)
{
    _cleanup_close_ int fd = file_open_file(path, ret, err);

    return fd < 0 ? fd : 0;
}

/* Where the data at or after off begins and ends; without SEEK_DATA all is data. false: only a hole is left. */
static bool next_data(int fd, uint64_t off, uint64_t size, uint64_t *ret_from, uint64_t *ret_to)
{
    off_t data = lseek(fd, (off_t)off, SEEK_DATA);

    if (data < 0 && errno == ENXIO)
        return false;
    off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
    *ret_from = data < 0 ? off : (uint64_t)data;
    *ret_to = hole < 0 ? size : num_min((uint64_t)hole, size);
    return *ret_from < size;
}

static int file_read_range(struct reading *r, struct source *s, int fd, uint64_t off, uint64_t end, struct err *err)
{
    while (off < end) {
        struct block *b = blocks_get(r->pool, true);
        if (!b)
            return 0; /* stopped: whoever stopped the pool has the reason */
        b->off = off;
        b->len = (size_t)num_min(end - off, blocks_block_size(r->pool));
        if (!source_may_read(r, b->len)) {
            blocks_put(r->pool, b);
            return 0;
        }
        int e = io_pread(fd, b->data, b->len, off);
        if (e < 0) {
            blocks_put(r->pool, b);
            return err_errno(err, -e, "cannot read %s", s->in->path);
        }
        off += b->len;
        source_push(r, s, b);
    }
    return 0;
}

int source_file_read(struct reading *r, struct source *s, struct err *err)
{
    uint64_t size, from, to;
    _cleanup_close_ int fd = file_open_file(s->in->path, &size, err);

    if (fd < 0)
        return fd;
    if (size != s->in->size)
        return err_set(err, EIO, "%s is being modified while it is read", s->in->path);
    progress_grow(s->task, size);
    for (uint64_t off = 0; off < size && next_data(fd, off, size, &from, &to); off = to) {
        from -= from % r->chunk; /* whole chunks, so that the store need not put them together */
        from = num_max(from, off);
        to = num_min(num_div_up(to, r->chunk) * r->chunk, size);
        int e = file_read_range(r, s, fd, from, to, err);
        if (e < 0)
            return e;
    }
    return 0;
}
