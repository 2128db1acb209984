/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what an NBD server says of a range (allocated? zero? dirty?) to what is to be done with it. Pure. */
#ifndef TRANSFER_EXTENTS_H
#define TRANSFER_EXTENTS_H

#include "base/buf.h"
#include <kvss/error.h>
#include <kvss/range.h>
#include <stdbool.h>
#include <stdint.h>

/* The status of one context over a range: runs of equal flags, one after the other from `start`. */
struct extent_run {
    uint64_t len;
    uint32_t flags;
};
struct extent_status {
    uint64_t start, end; /* end: how far the runs reach */
    struct buf runs;     /* of struct extent_run */
};

/* Takes in the answer to a question about `off` and onwards: pairs of length and flags. What is known already is passed over, what
 * lies behind `limit` is cut off. -EPROTO: the answer leaves a gap or makes no progress. */
int extent_status_add(struct extent_status *s, uint64_t off, const uint32_t *entries, size_t n_entries, uint64_t limit, struct err *err);
void extent_status_reset(struct extent_status *s, uint64_t start);

enum extent_kind {
    EXTENT_READ,
    EXTENT_ZERO,
    EXTENT_SKIP,      /* not dirty: data */
    EXTENT_SKIP_ZERO, /* not dirty: reads as zeros, now as before */
};
struct extent_piece {
    uint64_t off, len;
    enum extent_kind kind;
};
/* Fills a dirty status, from `start` (alloc's) to end, from a list of what changed (in order, without overlaps). What alloc knows to be
 * zeros is dirty too: what was cut out of a file is not on the list. *ret_changed: bytes of the list alone. */
int extent_status_changed(struct extent_status *dirty, const struct extent_status *alloc, const struct kvss_range *changed, size_t n,
                          uint64_t end, uint64_t *ret_changed);
/* How many bytes the runs of the status tell to be dirty. */
uint64_t extent_dirty_bytes(const struct extent_status *dirty);

/* What to do with [start, end), cut at multiples of `chunk`; `end` is such a multiple or the end of the image. A chunk is zero if
 * all of it is known to read as zeros, skipped if none of it is dirty, and read otherwise. dirty NULL: everything is dirty. Both
 * must begin at `start` (alloc's) and cover the range. Adds struct extent_piece to ret, neighbours joined. */
int extent_plan(const struct extent_status *alloc, const struct extent_status *dirty, uint64_t end, uint64_t chunk, struct buf *ret,
                struct err *err);

#endif
