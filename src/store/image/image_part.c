/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes that do not cover whole chunks. A chunk begun is filled with what stands there so far (the parent's bytes, zeros, or
 * what an earlier part put there), overlaid, and stored when it is complete or when too many are open. */
#include "base/num.h"
#include "store/image/image_write.h"
#include <errno.h>
#include <string.h>

#define PARTS_MAX 128 /* 8 MiB */

static int load_base(struct store_image_writer *iw, struct part *part, struct err *err)
{
    _cleanup_view_ struct chunk_view v = { 0 };
    struct chunk_ref want = { .kind = CRYPT_CHUNK };
    int r = tree_get(iw->tree, part->chunk, &want.id, err);

    memset(part->bytes, 0, sizeof part->bytes);
    if (r <= 0)
        return r;
    r = chunks_get(iw->writer->store->chunks, &want, &v, err);
    if (r == 0)
        memcpy(part->bytes, v.p, v.n);
    return r;
}

/* Stores part i and closes it. */
static int part_finish(struct store_image_writer *iw, size_t i, struct err *err)
{
    struct part *part = iw->parts[i];
    uint64_t length = num_min(CHUNK_SIZE, iw->stream.size - part->chunk * CHUNK_SIZE);

    iw->parts[i] = iw->parts[--iw->parts_n];
    int r = image_whole(iw, part->chunk, part->bytes, length, err);
    free(part);
    return r;
}

static int finish_oldest(struct store_image_writer *iw, struct err *err)
{
    size_t oldest = 0;

    for (size_t i = 1; i < iw->parts_n; i++)
        if (iw->parts[i]->tick < iw->parts[oldest]->tick)
            oldest = i;
    return part_finish(iw, oldest, err);
}

/* The open part of that chunk, opened if need be; its place in the list. */
static int part_of(struct store_image_writer *iw, uint64_t chunk, size_t *ret, struct err *err)
{
    for (size_t i = 0; i < iw->parts_n; i++) {
        if (iw->parts[i]->chunk == chunk) {
            *ret = i;
            return 0;
        }
    }
    if (!iw->parts)
        iw->parts = calloc(PARTS_MAX, sizeof *iw->parts);
    int r = iw->parts && iw->parts_n == PARTS_MAX ? finish_oldest(iw, err) : 0;
    struct part *part = iw->parts && r == 0 ? malloc(sizeof *part) : NULL;
    if (!part)
        return r < 0 ? r : err_nomem(err);
    part->chunk = chunk;
    part->covered = 0;
    r = load_base(iw, part, err);
    if (r < 0) {
        free(part);
        return r;
    }
    *ret = iw->parts_n;
    iw->parts[iw->parts_n++] = part;
    return 0;
}

int image_part(struct store_image_writer *iw, uint64_t chunk, size_t within, const uint8_t *p, size_t n, struct err *err)
{
    size_t i = 0;

    SCOPED_LOCK(&iw->parts_lock);
    int r = part_of(iw, chunk, &i, err);
    if (r < 0)
        return r;
    struct part *part = iw->parts[i];
    if (p)
        memcpy(part->bytes + within, p, n);
    else
        memset(part->bytes + within, 0, n);
    part->tick = ++iw->tick;
    part->covered += n;
    return part->covered >= num_min(CHUNK_SIZE, iw->stream.size - chunk * CHUNK_SIZE) ? part_finish(iw, i, err) : 0;
}

int image_parts_end(struct store_image_writer *iw, struct err *err)
{
    SCOPED_LOCK(&iw->parts_lock);
    while (iw->parts_n) {
        int r = part_finish(iw, 0, err);
        if (r < 0)
            return r;
    }
    return 0;
}

void image_parts_free(struct store_image_writer *iw)
{
    while (iw->parts_n)
        free(iw->parts[--iw->parts_n]);
    free(iw->parts);
}
