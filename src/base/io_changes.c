/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io_changes.h"
#include "base/buf.h"
#include "base/num.h"
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BATCH 512u
#define EXTENTS_MAX 2000000u
#define JOINED ((uint64_t)64 * 1024) /* it costs more to read two than one that is so much longer */
/* Where these are, their place says nothing of their content; compressed blocks are told by the beginning of all that was compressed with
 * them. */
#define UNSURE                                                                                                                           \
    (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_NOT_ALIGNED | \
     FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL)

/* ---- Comparing ----------------------------------------------------------------------------------------------------------------*/

struct extent_walk {
    const struct io_extent *at, *end;
};

/* What is at off: the extent, or NULL for a hole; *ret_until: how far that reaches. */
static const struct io_extent *walk_to(struct extent_walk *w, uint64_t off, uint64_t *ret_until)
{
    while (w->at < w->end && w->at->length <= off - num_min(off, w->at->offset))
        w->at++;
    if (w->at == w->end || w->at->offset > off) {
        *ret_until = w->at == w->end ? UINT64_MAX : w->at->offset;
        return NULL;
    }
    *ret_until = w->at->offset + w->at->length;
    return w->at;
}

static bool lie_the_same(const struct io_extent *a, const struct io_extent *b, uint64_t off)
{
    if (!a || !b)
        return a == b;
    return !((a->flags | b->flags) & UNSURE) && !((a->flags ^ b->flags) & FIEMAP_EXTENT_UNWRITTEN) &&
           a->place + (off - a->offset) == b->place + (off - b->offset);
}

static int add_range(struct buf *list, uint64_t off, uint64_t end)
{
    struct kvss_range *last = list->len ? (struct kvss_range *)(void *)(list->data + list->len) - 1 : NULL;
    const struct kvss_range range = { off, end - off };

    if (last && off - (last->offset + last->length) <= JOINED) {
        last->length = end - last->offset;
        return 0;
    }
    return buf_add(list, &range, sizeof(range));
}

int io_compare_extents(const struct io_extents *a, const struct io_extents *b, uint64_t size, struct kvss_range **ret, size_t *ret_n)
{
    struct extent_walk wa = { a->list, a->list + a->n }, wb = { b->list, b->list + b->n };
    _cleanup_buf_ struct buf list = BUF_INIT;

    for (uint64_t off = 0, until_a, until_b, end; off < size; off = end) {
        const struct io_extent *ea = walk_to(&wa, off, &until_a), *eb = walk_to(&wb, off, &until_b);
        end = num_min(size, num_min(until_a, until_b));
        if (!lie_the_same(ea, eb, off) && add_range(&list, off, end) < 0)
            return -ENOMEM;
    }
    *ret_n = list.len / sizeof(struct kvss_range);
    *ret = (struct kvss_range *)(void *)list.data;
    list = (struct buf)BUF_INIT;
    return 0;
}

/* ---- Files --------------------------------------------------------------------------------------------------------------------*/

union batch {
    struct fiemap map;
    uint8_t room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
};

static int add_extents(struct buf *list, const struct fiemap *map, struct err *err)
{
    const struct io_extent *before = list->len ? (const struct io_extent *)(const void *)(list->data + list->len) - 1 : NULL;
    uint64_t from = before ? before->offset + before->length : 0;

    if (list->len / sizeof(struct io_extent) + map->fm_mapped_extents > EXTENTS_MAX)
        return err_set(err, EOPNOTSUPP, "it has more than %u extents", EXTENTS_MAX);
    for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
        const struct fiemap_extent *f = &map->fm_extents[i];
        const struct io_extent e = { f->fe_logical, f->fe_length, f->fe_physical, f->fe_flags };
        if (e.offset < from || e.length == 0 || e.length > UINT64_MAX - e.offset)
            return err_set(err, EOPNOTSUPP, "the file system reports its extents out of order");
        from = e.offset + e.length;
        if (buf_add(list, &e, sizeof(e)) < 0)
            return err_nomem(err);
    }
    return 0;
}

static int read_extents(int fd, struct buf *list, struct err *err)
{
    _cleanup_free_ union batch *b = malloc(sizeof(*b));

    if (!b)
        return err_nomem(err);
    buf_reset(list);
    for (;;) {
        const struct io_extent *e = list->len ? (const struct io_extent *)(const void *)(list->data + list->len) - 1 : NULL;
        uint64_t from = e ? e->offset + e->length : 0;
        b->map = (struct fiemap){
            .fm_start = from, .fm_length = FIEMAP_MAX_OFFSET - from, .fm_flags = FIEMAP_FLAG_SYNC, .fm_extent_count = BATCH
        };
        if (ioctl(fd, FS_IOC_FIEMAP, &b->map) < 0)
            return err_set(err, EOPNOTSUPP, "the file system does not report its extents (%s)", strerror(errno));
        if (b->map.fm_mapped_extents == 0)
            return 0;
        int r = add_extents(list, &b->map, err);
        if (r < 0)
            return r;
    }
}

/* Elsewhere a place may be one of several devices, or not told (CIFS reports the offset). */
int io_can_compare(int fd, struct err *err)
{
    struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET };
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return err_errno(err, errno, "cannot look at its file system");
    if (fs.f_type != BTRFS_SUPER_MAGIC && fs.f_type != XFS_SUPER_MAGIC)
        return err_set(err, EOPNOTSUPP, "its file system is neither btrfs nor XFS");
    if (ioctl(fd, FS_IOC_FIEMAP, &map) < 0)
        return err_set(err, EOPNOTSUPP, "the file system does not report its extents (%s)", strerror(errno));
    return map.fm_mapped_extents <= EXTENTS_MAX ? 0 : err_set(err, EOPNOTSUPP, "it has more than %u extents", EXTENTS_MAX);
}

static struct io_extents extents_of(const struct buf *list)
{
    return (struct io_extents){ (const struct io_extent *)(const void *)list->data, list->len / sizeof(struct io_extent) };
}

/* Blocks can be moved (balancing a btrfs): then what has been freed could have become the other's while one was asked after the other. */
int io_changes(int before, int now, struct kvss_range **ret, size_t *ret_n, struct err *err)
{
    _cleanup_buf_ struct buf was = BUF_INIT, is = BUF_INIT, still = BUF_INIT;
    struct stat st;

    if (fstat(now, &st) < 0)
        return err_errno(err, errno, "cannot look at it");
    int r = io_can_compare(before, err);
    if (r >= 0)
        r = io_can_compare(now, err);
    if (r >= 0)
        r = read_extents(before, &was, err);
    if (r >= 0)
        r = read_extents(now, &is, err);
    if (r >= 0)
        r = read_extents(before, &still, err);
    if (r < 0)
        return r;
    if (was.len != still.len || (was.len && memcmp(was.data, still.data, was.len)))
        return err_set(err, EOPNOTSUPP, "the file system is being rearranged");
    const struct io_extents a = extents_of(&was), b = extents_of(&is);
    r = io_compare_extents(&a, &b, (uint64_t)st.st_size, ret, ret_n);
    return r < 0 ? err_nomem(err) : 0;
}
