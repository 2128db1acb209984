/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an NBD server says of a range, whatever it says: the plan made of it covers the range once, in order, cut at whole chunks; and a
 * chunk of which any part was said to be data that changed is read. */
#include "base/buf.h"
#include "base/num.h"
#include "fuzz.h"
#include "transfer/extents.h"
#include <libnbd.h>
#include <string.h>

#define CHUNK 16u
#define ENTRIES_MAX 64u
#define RANGE_MAX 4096u

struct input {
    const uint8_t *p;
    size_t n;
};

static unsigned take(struct input *in)
{
    return in->n ? (in->n--, *in->p++) : 0;
}

/* What was said of each byte, as a slow and simple reader takes it. */
struct said {
    uint8_t known[RANGE_MAX], flags[RANGE_MAX];
    uint64_t end;
};

static void note(struct said *x, uint64_t off, uint64_t len, uint32_t flags, uint64_t limit)
{
    for (uint64_t at = off; at < num_min(off + len, limit); at++)
        if (!x->known[at]) {
            x->known[at] = 1;
            x->flags[at] = (uint8_t)flags;
            x->end = at + 1;
        }
}

static uint32_t length(struct input *in)
{
    unsigned n = take(in);

    return n == 255 ? UINT32_MAX : n == 254 ? 0 : n;
}

/* Answers until the status reaches the limit, the server leaves a gap, or the input ends. */
static void answer(struct input *in, struct extent_status *s, struct said *x, uint64_t start, uint64_t limit)
{
    struct err err = ERR_INIT;

    extent_status_reset(s, start);
    x->end = start;
    while (in->n && s->end < limit) {
        uint32_t entries[2 * ENTRIES_MAX];
        size_t n = take(in) % ENTRIES_MAX;
        uint64_t off = s->end + take(in) % 8 - 4, at = off;
        if (off < start || off > RANGE_MAX)
            off = at = s->end;
        for (size_t i = 0; i < n; i++) {
            entries[2 * i] = length(in);
            entries[2 * i + 1] = take(in) % 4;
        }
        int r = extent_status_add(s, off, entries, 2 * n + take(in) % 2, limit, &err);
        FUZZ_REQUIRE((r < 0) == (off > x->end));
        for (size_t i = 0; r == 0 && i < n && at < limit; at += entries[2 * i++])
            note(x, at, entries[2 * i], entries[2 * i + 1], limit);
        FUZZ_REQUIRE(s->end == x->end && s->end <= limit);
    }
}

static bool any_must_be_read(const struct said *alloc, const struct said *dirty, uint64_t off, uint64_t end)
{
    bool changed = !dirty, data = false;

    for (uint64_t at = off; at < end; at++) {
        changed |= dirty && (dirty->flags[at] & 1);
        data |= !(alloc->flags[at] & LIBNBD_STATE_ZERO);
    }
    return changed && data;
}

static void check(const struct buf *plan, const struct said *alloc, const struct said *dirty, uint64_t start, uint64_t end)
{
    const struct extent_piece *p = (const struct extent_piece *)(const void *)plan->data;
    uint64_t at = start;

    for (size_t i = 0; i < plan->len / sizeof(*p); i++) {
        FUZZ_REQUIRE(p[i].off == at && p[i].len > 0 && (at == start || at % CHUNK == 0));
        at += p[i].len;
        for (uint64_t c = p[i].off; c < at; c = num_min(at, c - c % CHUNK + CHUNK)) {
            bool read = any_must_be_read(alloc, dirty, c, num_min(at, c - c % CHUNK + CHUNK));
            FUZZ_REQUIRE(read == (p[i].kind == EXTENT_READ));
        }
    }
    FUZZ_REQUIRE(at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    struct extent_status alloc = { 0 }, dirty = { 0 };
    struct said of_alloc = { 0 }, of_dirty = { 0 };
    _cleanup_buf_ struct buf plan = BUF_INIT;
    struct err err = ERR_INIT;
    uint64_t start = take(&in) % 8 * CHUNK, end = start + take(&in) * 8 + take(&in) % 8;
    bool with_dirty = take(&in) % 2;

    answer(&in, &alloc, &of_alloc, start, end);
    if (with_dirty)
        answer(&in, &dirty, &of_dirty, start, end);
    bool complete = alloc.end >= end && (!with_dirty || dirty.end >= end);
    int r = extent_plan(&alloc, with_dirty ? &dirty : NULL, end, CHUNK, &plan, &err);
    FUZZ_REQUIRE((r == 0) == complete);
    if (r == 0)
        check(&plan, &of_alloc, with_dirty ? &of_dirty : NULL, start, end);
    FUZZ_REQUIRE(extent_dirty_bytes(&dirty) <= end - start);
    buf_free(&alloc.runs);
    buf_free(&dirty.runs);
    return 0;
}
