/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images being written. Whole chunks go straight from the caller's memory: looked at for zeros, hashed and looked up by all
 * workers at once, and only what is new is copied. Parts of chunks are put together first (image_part.c). */
#include "store/image/image_write.h"
#include "base/num.h"
#include "store/chunk/chunks.h"
#include <errno.h>
#include <string.h>

#define BATCH 64 /* chunks looked at together */
#define PIECE 4  /* chunks that one worker takes at a time */

/* Finds the tree of the image that this one begins with. */
static int find_parent(struct store *s, const char *point, const char *image, struct point_stream *ret, struct err *err)
{
    _cleanup_point_data_ struct point_data d = { 0 };
    struct chunk_id id;
    int r = store_resolve(s, point, &id, err);

    if (r == 0)
        r = point_get(&s->env, &id, &d, err);
    if (r < 0)
        return r;
    const struct point_stream *stream = point_data_find(&d, STREAM_IMAGE, image);
    if (!stream)
        return err_set(err, ENOENT, "restore point %s has no image '%s'", point, image);
    *ret = *stream;
    return 0;
}

static uint64_t chunks_of(uint64_t size)
{
    return num_div_up(size, CHUNK_SIZE);
}

/* What lies beyond a smaller size must not come back when the image grows again. */
static int cut_parent(struct store_image_writer *iw, uint64_t parent_size, struct err *err)
{
    if (parent_size <= iw->stream.size)
        return 0;
    int r = tree_clear(iw->tree, chunks_of(iw->stream.size), chunks_of(parent_size), err);
    size_t tail = iw->stream.size % CHUNK_SIZE;
    if (r == 0 && tail)
        r = image_part(iw, iw->stream.size / CHUNK_SIZE, tail, NULL, CHUNK_SIZE - tail, err);
    return r;
}

static int begin_tree(struct store_image_writer *iw, const struct point_stream *parent, struct err *err)
{
    struct store *s = iw->writer->store;
    struct tree_out out = { s->chunks, s->index, &s->env, &s->meta, &iw->stored_nodes };
    unsigned level = (unsigned)node_level_for(chunks_of(iw->stream.size));
    int r = tree_writer_new(&out, level, parent ? &parent->root : NULL, &iw->tree, err);

    return r == 0 && parent ? cut_parent(iw, parent->size, err) : r;
}

int store_image_begin(struct store_writer *w, const char *name, uint64_t size, const char *parent_point, const char *parent_image,
                      struct store_image_writer **ret, struct err *err)
{
    struct point_stream parent;

    if (!point_name_ok(name))
        return err_set(err, EINVAL, "'%.300s' is not a valid image name", name);
    if (size > IMAGE_MAX)
        return err_set(err, EFBIG, "the image %s is too large", name);
    if (parent_point) {
        int r = find_parent(w->store, parent_point, parent_image, &parent, err);
        if (r < 0)
            return r;
    }
    struct store_image_writer *iw = calloc(1, sizeof *iw);
    if (!iw)
        return err_nomem(err);
    iw->writer = w;
    iw->stream.kind = STREAM_IMAGE;
    iw->stream.size = size;
    strcpy(iw->stream.name, name);
    pthread_mutex_init(&iw->lock, NULL);
    pthread_mutex_init(&iw->parts_lock, NULL);
    packer_stream_init(&iw->packing, w->store->packer, PACK_DATA);
    int r = begin_tree(iw, parent_point ? &parent : NULL, err);
    if (r < 0) {
        store_image_drop(iw);
        return r;
    }
    *ret = iw;
    return 0;
}

/* ---- whole chunks ---------------------------------------------------------------------------------------------------------*/

struct batch {
    struct store *store;
    const uint8_t *p;
    size_t n;    /* bytes */
    size_t each; /* of them belong to one chunk, and the rest of that is zeros */
    size_t chunks;
    struct look {
        size_t len;   /* without trailing zeros; 0: a hole */
        bool claimed; /* new, and ours to store */
        struct chunk_id id;
    } looks[BATCH];
};

/* Looks at PIECE chunks. */
static int write_look_at(void *ctx, size_t piece, struct err *err)
{
    struct batch *b = ctx;

    for (size_t i = piece * PIECE; i < b->chunks && i < (piece + 1) * PIECE; i++) {
        struct look *l = &b->looks[i];
        const uint8_t *p = b->p + i * b->each;
        l->len = chunk_trim(p, num_min(b->each, b->n - i * b->each));
        if (l->len == 0)
            continue;
        int r = crypt_id(b->store->env.crypt, CRYPT_CHUNK, p, l->len, &l->id);
        if (r < 0)
            return err_errno(err, -r, "cannot hash a chunk");
        r = index_claim(b->store->index, &l->id, err);
        if (r < 0)
            return r;
        l->claimed = r > 0;
    }
    return 0;
}

/* Copies the new chunks into the image's stream, in order. Whatever was claimed must get there, even after a failure. */
static int write_pack_new(struct store_image_writer *iw, const struct batch *b, struct err *err)
{
    uint64_t count = 0;
    int first = 0;

    for (size_t i = 0; i < b->chunks; i++) {
        const struct look *l = &b->looks[i];
        if (!l->claimed)
            continue;
        int r = packer_add(&iw->packing, &l->id, b->p + i * b->each, l->len, first ? NULL : err);
        if (first == 0)
            first = r;
        count++;
    }
    SCOPED_LOCK(&iw->lock);
    iw->stats.chunks_new += count;
    return first;
}

/* Enters what was found into the tree; runs of holes at once. */
static int map_batch(struct store_image_writer *iw, const struct batch *b, uint64_t first, struct err *err)
{
    uint64_t zero = 0, looked = 0;
    int r = 0;

    for (size_t i = 0, end; r == 0 && i < b->chunks; i = end) {
        end = i + 1;
        if (b->looks[i].len) {
            looked++;
            r = tree_set(iw->tree, first + i, &b->looks[i].id, err);
            continue;
        }
        while (end < b->chunks && b->looks[end].len == 0)
            end++;
        zero += num_min(b->n, end * CHUNK_SIZE) - i * CHUNK_SIZE;
        r = tree_clear(iw->tree, first + i, first + end, err);
    }
    SCOPED_LOCK(&iw->lock);
    iw->stats.zero += zero;
    iw->stats.chunks += looked;
    return r;
}

/* Hashes the chunks of the batch and stores those that are new. */
static int store_batch(struct store_image_writer *iw, struct batch *b, struct err *err)
{
    size_t pieces = num_div_up(b->chunks, PIECE);
    int r = pieces == 1 ? write_look_at(b, 0, err) : pool_split(b->store->env.pool, pieces, write_look_at, b, err);
    int r2 = write_pack_new(iw, b, r ? NULL : err);

    return r ? r : r2;
}

int image_whole(struct store_image_writer *iw, uint64_t first, const uint8_t *p, size_t n, struct err *err)
{
    for (size_t off = 0; off < n;) {
        struct batch b = { .store = iw->writer->store, .p = p + off, .n = num_min(n - off, BATCH * CHUNK_SIZE), .each = CHUNK_SIZE };
        b.chunks = chunks_of(b.n);
        int r = store_batch(iw, &b, err);
        if (r == 0)
            r = map_batch(iw, &b, first + off / CHUNK_SIZE, err);
        if (r < 0)
            return r;
        off += b.n;
    }
    return 0;
}

/* Enters the chunks where they belong. */
static int map_pieces(struct store_image_writer *iw, const struct batch *b, const uint64_t *chunks, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < b->chunks; i++)
        r = tree_set(iw->tree, chunks[i], b->looks[i].len ? &b->looks[i].id : NULL, err);
    SCOPED_LOCK(&iw->lock);
    iw->stats.chunks += b->chunks;
    return r;
}

int store_image_write_pieces(struct store_image_writer *iw, const uint64_t *chunks, const void *p, size_t piece, size_t n, struct err *err)
{
    if (piece == 0 || piece > CHUNK_SIZE)
        return err_set(err, EINVAL, "cannot write pieces of %zu bytes to image %s", piece, iw->stream.name);
    for (size_t i = 0; i < n; i++)
        if (chunks[i] >= iw->stream.size / CHUNK_SIZE)
            return err_set(err, EINVAL, "cannot write to chunk %llu of image %s: it has %llu", (unsigned long long)chunks[i],
                           iw->stream.name, (unsigned long long)(iw->stream.size / CHUNK_SIZE));
    for (size_t done = 0; done < n;) {
        size_t step = num_min(n - done, BATCH);
        struct batch b = {
            .store = iw->writer->store, .p = (const uint8_t *)p + done * piece, .n = step * piece, .each = piece, .chunks = step
        };
        int r = store_batch(iw, &b, err);
        if (r == 0)
            r = map_pieces(iw, &b, chunks + done, err);
        if (r < 0)
            return r;
        done += step;
    }
    SCOPED_LOCK(&iw->lock);
    iw->stats.written += n * piece;
    return 0;
}

/* ---- ranges ---------------------------------------------------------------------------------------------------------------*/

static int check_range(const struct store_image_writer *iw, uint64_t off, uint64_t n, struct err *err)
{
    uint64_t end;

    if (!num_add(off, n, &end) || end > iw->stream.size)
        return err_set(err, EINVAL, "cannot write %llu bytes at %llu of image %s: its size is %llu", (unsigned long long)n,
                       (unsigned long long)off, iw->stream.name, (unsigned long long)iw->stream.size);
    return 0;
}

/* Splits [off, off + n) into a part of a chunk, whole chunks and a part; p NULL: zeros. A last chunk that the image's end
 * cuts counts as whole. */
static int write_range(struct store_image_writer *iw, uint64_t off, const uint8_t *p, uint64_t n, struct err *err)
{
    while (n > 0) {
        uint64_t chunk = off / CHUNK_SIZE, within = off % CHUNK_SIZE, step;
        uint64_t length = num_min(CHUNK_SIZE, iw->stream.size - chunk * CHUNK_SIZE);
        int r;
        if (within || n < length) {
            step = num_min(n, length - within);
            r = image_part(iw, chunk, within, p, step, err);
        } else {
            step = off + n == iw->stream.size ? n : n - n % CHUNK_SIZE;
            r = p ? image_whole(iw, chunk, p, step, err) : tree_clear(iw->tree, chunk, chunks_of(off + step), err);
        }
        if (r < 0)
            return r;
        off += step;
        n -= step;
        p = p ? p + step : NULL;
    }
    return 0;
}

int store_image_write(struct store_image_writer *iw, uint64_t off, const void *p, size_t n, struct err *err)
{
    int r = check_range(iw, off, n, err);

    if (r == 0)
        r = write_range(iw, off, p, n, err);
    if (r < 0)
        return r;
    SCOPED_LOCK(&iw->lock);
    iw->stats.written += n;
    return 0;
}

int store_image_zero(struct store_image_writer *iw, uint64_t off, uint64_t n, struct err *err)
{
    int r = check_range(iw, off, n, err);

    if (r == 0)
        r = write_range(iw, off, NULL, n, err);
    if (r < 0)
        return r;
    SCOPED_LOCK(&iw->lock);
    iw->stats.zero += n;
    return 0;
}

static int end(struct store_image_writer *iw, struct store_stats *ret, struct err *err)
{
    int r = image_parts_end(iw, err);

    if (r == 0)
        r = packer_stream_end(&iw->packing, err);
    if (r == 0)
        r = tree_end(iw->tree, (unsigned)node_level_for(chunks_of(iw->stream.size)), &iw->stream.root, err);
    if (r == 0)
        r = writer_add(iw->writer, &iw->stream, err);
    if (r == 0 && ret) {
        *ret = iw->stats;
        ret->logical = iw->stream.size;
        ret->stored = atomic_load(&iw->packing.stored) + iw->stored_nodes;
    }
    return r;
}

int store_image_end(struct store_image_writer *iw, struct store_stats *ret_stats, struct err *err)
{
    int r = end(iw, ret_stats, err);

    store_image_drop(iw);
    return r;
}

void store_image_drop(struct store_image_writer *iw)
{
    if (!iw)
        return;
    packer_stream_drop(&iw->packing);
    tree_writer_free(iw->tree);
    image_parts_free(iw);
    pthread_mutex_destroy(&iw->lock);
    pthread_mutex_destroy(&iw->parts_lock);
    free(iw);
}
