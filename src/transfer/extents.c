/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transfer/extents.h"
#include "base/num.h"
#include <errno.h>
#include <libnbd.h>

#define DIRTY 1u /* qemu:dirty-bitmap */

void extent_status_reset(struct extent_status *s, uint64_t start)
{
    s->start = s->end = start;
    buf_reset(&s->runs);
}

static int add_run(struct extent_status *s, uint64_t len, uint32_t flags)
{
    struct extent_run *last = s->runs.len ? (struct extent_run *)(void *)(s->runs.data + s->runs.len) - 1 : NULL;

    s->end += len;
    if (last && last->flags == flags) {
        last->len += len;
        return 0;
    }
    struct extent_run run = { len, flags };
    return buf_add(&s->runs, &run, sizeof(run));
}

int extent_status_add(struct extent_status *s, uint64_t off, const uint32_t *entries, size_t n_entries, uint64_t limit, struct err *err)
{
    if (off > s->end)
        return err_set(err, EPROTO, "the NBD server reported nothing about bytes %llu to %llu", (unsigned long long)s->end,
                       (unsigned long long)off);
    for (size_t i = 0; i + 1 < n_entries && off < limit; i += 2) {
        uint64_t stop = num_min(off + entries[i], limit); /* 2^64 is out of reach: off < limit < 2^63 */
        if (stop > s->end && add_run(s, stop - s->end, entries[i + 1]) < 0)
            return err_nomem(err);
        off += entries[i];
    }
    return 0;
}

/* The first range of the list that ends beyond off. */
static size_t first_beyond(const struct kvss_range *list, size_t n, uint64_t off)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (list[mid].offset + list[mid].length > off)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

int extent_status_changed(struct extent_status *dirty, const struct extent_status *alloc, const struct kvss_range *changed, size_t n,
                          uint64_t end, uint64_t *ret_changed)
{
    const struct extent_run *run = (const struct extent_run *)(const void *)alloc->runs.data;
    uint64_t off = alloc->start, run_end = off;
    size_t i = first_beyond(changed, n, off);
    bool zero = false;

    *ret_changed = 0;
    extent_status_reset(dirty, off);
    for (const struct extent_run *stop = run + alloc->runs.len / sizeof(*run); off < end;) {
        for (; run_end <= off && run < stop; run++) {
            run_end += run->len;
            zero = run->flags & LIBNBD_STATE_ZERO;
        }
        while (i < n && changed[i].offset + changed[i].length <= off)
            i++;
        bool listed = i < n && changed[i].offset <= off;
        uint64_t to = listed ? changed[i].offset + changed[i].length : i < n ? changed[i].offset : end;
        to = num_min(num_min(to, end), run_end > off ? run_end : end);
        *ret_changed += listed ? to - off : 0;
        if (add_run(dirty, to - off, listed || zero ? DIRTY : 0) < 0)
            return -ENOMEM;
        off = to;
    }
    return 0;
}

uint64_t extent_dirty_bytes(const struct extent_status *dirty)
{
    const struct extent_run *run = (const struct extent_run *)(const void *)dirty->runs.data;
    uint64_t sum = 0;

    for (size_t i = 0; i < dirty->runs.len / sizeof(*run); i++)
        sum += run[i].flags & DIRTY ? run[i].len : 0;
    return sum;
}

/* Walks the runs of a status forward. */
struct extents_cursor {
    const struct extent_run *run, *stop;
    uint64_t at; /* where `run` begins */
};

static struct extents_cursor cursor_at_start(const struct extent_status *s)
{
    const struct extent_run *run = (const struct extent_run *)(const void *)s->runs.data;

    return (struct extents_cursor){ run, run ? run + s->runs.len / sizeof(*run) : NULL, s->start };
}

/* The flags that all (AND) and any (OR) of [off, end) have. Successive ranges must not go backwards. */
static void cursor_flags(struct extents_cursor *c, uint64_t off, uint64_t end, uint32_t *ret_all, uint32_t *ret_any)
{
    *ret_all = ~0u;
    *ret_any = 0;
    while (c->run < c->stop && c->at < end) {
        if (c->at + c->run->len > off) {
            *ret_all &= c->run->flags;
            *ret_any |= c->run->flags;
        }
        if (c->at + c->run->len > end)
            return; /* the next range begins in this run */
        c->at += c->run->len;
        c->run++;
    }
}

static int extents_add_piece(struct buf *ret, uint64_t off, uint64_t len, enum extent_kind kind)
{
    struct extent_piece *last = ret->len ? (struct extent_piece *)(void *)(ret->data + ret->len) - 1 : NULL;

    if (last && last->kind == kind && last->off + last->len == off) {
        last->len += len;
        return 0;
    }
    struct extent_piece piece = { off, len, kind };
    return buf_add(ret, &piece, sizeof(piece));
}

int extent_plan(const struct extent_status *alloc, const struct extent_status *dirty, uint64_t end, uint64_t chunk, struct buf *ret,
                struct err *err)
{
    struct extents_cursor a = cursor_at_start(alloc), d = { 0 };
    uint64_t off = alloc->start;

    if (alloc->end < end || (dirty && (dirty->end < end || dirty->start != off)))
        return err_set(err, EPROTO, "the NBD server did not report on the full range up to %llu", (unsigned long long)end);
    if (dirty)
        d = cursor_at_start(dirty);
    while (off < end) {
        uint64_t stop = num_min(end, off - off % chunk + chunk);
        uint32_t all, any = DIRTY, unused;
        enum extent_kind kind = EXTENT_READ;
        cursor_flags(&a, off, stop, &all, &unused);
        if (dirty)
            cursor_flags(&d, off, stop, &unused, &any);
        if (!(any & DIRTY))
            kind = all & LIBNBD_STATE_ZERO ? EXTENT_SKIP_ZERO : EXTENT_SKIP;
        else if (all & LIBNBD_STATE_ZERO)
            kind = EXTENT_ZERO;
        if (extents_add_piece(ret, off, stop - off, kind) < 0)
            return err_nomem(err);
        off = stop;
    }
    return 0;
}
