/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images being read. Large reads are shared out among the workers, so one caller keeps all cores busy. */
#include "base/num.h"
#include "store/tree/tree.h"
#include "store/image/image_open.h"
#include <errno.h>
#include <string.h>

#define PIECE ((uint64_t)8 * CHUNK_SIZE)  /* what one worker takes: two segments as a rule */
#define EXTENT_CHUNKS ((uint64_t)1 << 14) /* data is looked at this far: 1 GiB */

int store_image_open(struct store_point *p, const char *name, struct store_image **ret, struct err *err)
{
    const struct point_stream *s = point_data_find(&p->data, STREAM_IMAGE, name);

    if (!s)
        return err_set(err, ENOENT, "restore point %s has no image '%s'", p->id, name);
    struct store_image *i = calloc(1, sizeof *i);
    if (!i)
        return err_nomem(err);
    i->store = p->store;
    i->size = s->size;
    i->root = s->root;
    strcpy(i->name, s->name);
    strcpy(i->point, p->id);
    int r = tree_reader_new(p->store->chunks, &s->root, &i->tree, err);
    if (r < 0) {
        free(i);
        return r;
    }
    *ret = i;
    return 0;
}

void store_image_close(struct store_image *i)
{
    if (!i)
        return;
    tree_reader_free(i->tree);
    free(i);
}

uint64_t store_image_size(const struct store_image *i)
{
    return i->size;
}

int read_chunk(struct store *s, struct tree_reader *tree, uint64_t chunk, size_t within, uint8_t *p, size_t n, struct err *err)
{
    _cleanup_view_ struct chunk_view v = { 0 };
    struct chunk_ref want = { .kind = CRYPT_CHUNK };
    int r = tree_read(tree, chunk, &want.id, NULL, err);

    if (r > 0)
        r = chunks_get(s->chunks, &want, &v, err);
    if (r < 0)
        return r;
    size_t have = v.segment && v.n > within ? num_min(n, v.n - within) : 0;
    if (have)
        memcpy(p, v.p + within, have);
    memset(p + have, 0, n - have);
    return 0;
}

struct read_reading {
    struct store_image *image;
    uint64_t off, n;
    uint8_t *p;
};

static int image_read_range(struct store_image *i, uint64_t off, uint8_t *p, uint64_t n, struct err *err)
{
    while (n > 0) {
        size_t within = off % CHUNK_SIZE, step = num_min(n, CHUNK_SIZE - within);
        int r = read_chunk(i->store, i->tree, off / CHUNK_SIZE, within, p, step, err);
        if (r < 0)
            return err_context(err, "image %s of restore point %.12s, offset %llu", i->name, i->point, (unsigned long long)off);
        off += step;
        p += step;
        n -= step;
    }
    return 0;
}

/* Piece k of a read; pieces end at multiples of PIECE, so that two workers seldom want the same segment. */
static int read_piece(void *ctx, size_t k, struct err *err)
{
    struct read_reading *x = ctx;
    uint64_t from = num_max((x->off / PIECE + k) * PIECE, x->off), to = num_min((x->off / PIECE + k + 1) * PIECE, x->off + x->n);

    return image_read_range(x->image, from, x->p + (from - x->off), to - from, err);
}

int store_image_read(struct store_image *i, uint64_t off, void *p, size_t n, struct err *err)
{
    struct read_reading x = { i, off, n, p };
    uint64_t end;

    if (!num_add(off, n, &end) || end > i->size)
        return err_set(err, EINVAL, "cannot read %zu bytes at %llu of image %s: its size is %llu", n, (unsigned long long)off, i->name,
                       (unsigned long long)i->size);
    if (n == 0)
        return 0;
    size_t pieces = (size_t)((end - 1) / PIECE - off / PIECE + 1);
    return pieces == 1 ? read_piece(&x, 0, err) : pool_split(i->store->env.pool, pieces, read_piece, &x, err);
}

int store_image_data(struct store_image *i, uint64_t *ret, struct err *err)
{
    struct data_count *count = NULL;
    uint64_t bytes = 0;
    int r = data_count_new(i->store->chunks, &count, err);

    if (r == 0 && (r = data_count_tree(count, &i->root, &bytes, err)) < 0)
        err_context(err, "image %s of restore point %.12s", i->name, i->point);
    data_count_free(count);
    if (r == 0)
        *ret = num_min(bytes, i->size);
    return r;
}

int store_image_extent(struct store_image *i, uint64_t off, uint64_t *ret_len, bool *ret_hole, struct err *err)
{
    uint64_t chunk = off / CHUNK_SIZE, last = num_div_up(i->size, CHUNK_SIZE), at, span;
    struct chunk_id id;

    if (off >= i->size)
        return err_set(err, EINVAL, "offset %llu is not within image %s", (unsigned long long)off, i->name);
    int first = tree_read(i->tree, chunk, &id, &span, err);
    if (first < 0)
        return first;
    for (at = chunk + (first ? 1 : span); at < last && (first == 0 || at - chunk < EXTENT_CHUNKS);) {
        int r = tree_read(i->tree, at, &id, &span, err);
        if (r < 0)
            return r;
        if (r != first)
            break;
        at += r ? 1 : span;
    }
    *ret_len = num_min(at, last) * CHUNK_SIZE < i->size ? num_min(at, last) * CHUNK_SIZE - off : i->size - off;
    *ret_hole = first == 0;
    return 0;
}
