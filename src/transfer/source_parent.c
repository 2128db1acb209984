/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An increment is only as true as the record of changes. That record can be wrong without any sign of it: QEMU forgets what a disk
 * lost by being made smaller and larger again, and an image file copied over another brings a record along that is not about this
 * disk. So what is cheap to look at is looked at:
 *
 *   - what is said not to have changed and reads as zeros must be a hole in the parent;
 *   - of what is said not to have changed and is data, a few chunks are read and compared: the first, the last, some between. */
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "transfer/transfer_read.h"
#include <errno.h>
#include <string.h>

#define SAMPLES_FIRST 4       /* chunks in the first window; one in each of the others */
#define SAMPLES_MAX 8         /* per disk: to look must cost less than to read what changed */
#define HOLES_LOOKED_AT 65536 /* per window: bounds the nodes that are read of a scattered image */

static int __attribute__((format(printf, 2, 3))) doubt(struct source *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(s->in->why_whole, sizeof(s->in->why_whole), fmt, ap);
    va_end(ap);
    return 1;
}

void source_parent_close(struct source *s)
{
    store_image_close(TAKE_PTR(s->parent));
    store_point_close(TAKE_PTR(s->parent_point));
}

int source_parent_open(struct reading *r, struct source *s, struct err *err)
{
    struct err why = ERR_INIT;

    int e = store_point_open(r->store, s->in->parent_point, &s->parent_point, &why);
    if (e >= 0)
        e = store_image_open(s->parent_point, s->in->parent_image, &s->parent, &why);
    bool same_size = e >= 0 && store_image_size(s->parent) == s->in->size;
    if (same_size) /* else what is taken over of it without a look would be lost in this restore point as well */
        e = store_image_whole(s->parent_point, s->in->parent_image, &why);
    if (e >= 0 && same_size)
        return 0;
    source_parent_close(s);
    if (e >= 0)
        doubt(s, "its size has changed since the earlier restore point");
    else if (e == -ENOENT || e == -EUCLEAN)
        doubt(s, "the earlier restore point cannot be read: %s", why.text);
    else
        return err_move(err, &why);
    return 0;
}

/* A damaged parent is a doubt; what keeps us from looking is a failure. */
static int looked(struct source *s, int e, struct err *why, struct err *err)
{
    if (e == -EUCLEAN)
        return doubt(s, "the earlier restore point is damaged: %s", why->text);
    return e < 0 ? err_move(err, why) : 0;
}

/* ---- Holes ----------------------------------------------------------------------------------------------------------------*/

static int check_hole(struct source *s, const struct extent_piece *p, size_t *budget, struct err *err)
{
    struct err why = ERR_INIT;

    for (uint64_t off = p->off, len; off < p->off + p->len && *budget; off += len, --*budget) {
        bool hole = false;
        int e = store_image_extent(s->parent, off, &len, &hole, &why);
        if (e < 0)
            return looked(s, e, &why, err);
        if (!hole)
            return doubt(s, "change tracking is wrong: it marks byte %llu as unchanged, but the byte has changed", (unsigned long long)off);
        if (len == 0)
            return err_set(err, EUCLEAN, "an extent of the earlier image is invalid");
    }
    return 0;
}

/* ---- Samples --------------------------------------------------------------------------------------------------------------*/

static int parent_compare(struct reading *r, struct source *s, struct nbd_handle *h, uint64_t off, uint8_t *two_chunks, struct err *err)
{
    size_t n = (size_t)num_min(r->chunk, s->in->size - off);
    uint8_t *before = two_chunks, *now = two_chunks + r->chunk;
    struct err why = ERR_INIT;

    int e = store_image_read(s->parent, off, before, n, &why);
    if (e < 0)
        return looked(s, e, &why, err);
    const struct nbd_patience p = source_patience(r, s);
    if (nbd_finish(h, nbd_aio_pread(h, now, n, off, NBD_NULL_COMPLETION, 0), &p, err) < 0)
        return err_context(err, "cannot read the export");
    __atomic_fetch_add(&s->bytes_read, n, __ATOMIC_RELAXED);
    if (memcmp(before, now, n) == 0)
        return 0;
    return doubt(s, "change tracking is wrong: it marks the data at %llu as unchanged, but the data has changed", (unsigned long long)off);
}

/* Where the chunk is that stands at `index` among those that did not change and are data. */
static uint64_t chunk_at(const struct reading *r, const struct source *s, uint64_t index)
{
    const struct extent_piece *p = (const struct extent_piece *)(const void *)s->plan.data;

    for (;; p++) {
        uint64_t n = p->kind == EXTENT_SKIP ? num_div_up(p->len, r->chunk) : 0;
        if (index < n)
            return p->off + index * r->chunk;
        index -= n;
    }
}

static int check_samples(struct reading *r, struct source *s, struct nbd_handle *h, uint64_t n, struct err *err)
{
    _cleanup_free_ uint8_t *buf = malloc(2 * r->chunk);
    uint64_t seed = clock_mono_us(), most = s->samples == 0 ? SAMPLES_FIRST : s->samples < SAMPLES_MAX;
    int e = 0;

    if (!buf)
        return err_nomem(err);
    for (uint64_t i = 0; i < num_min(most, n) && e == 0; i++, s->samples++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t index = most > 1 && i == 0 ? 0 : i == 1 ? n - 1 : (seed >> 32) % n;
        e = parent_compare(r, s, h, chunk_at(r, s, index), buf, err);
    }
    return e;
}

int source_parent_doubt(struct reading *r, struct source *s, struct nbd_handle *h, struct err *err)
{
    const struct extent_piece *p = (const struct extent_piece *)(const void *)s->plan.data;
    size_t budget = HOLES_LOOKED_AT;
    uint64_t data = 0;
    int e = 0;

    for (size_t i = 0; i < s->plan.len / sizeof(*p) && e == 0; i++) {
        if (p[i].kind == EXTENT_SKIP)
            data += num_div_up(p[i].len, r->chunk);
        else if (p[i].kind == EXTENT_SKIP_ZERO)
            e = check_hole(s, &p[i], &budget, err);
    }
    return e == 0 ? check_samples(r, s, h, data, err) : e;
}
