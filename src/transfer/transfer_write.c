/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Out of the repository: workers read and verify blocks of an image, one writer keeps many writes in flight. */
#include "base/io.h"
#include "base/num.h"
#include "transfer/blocks.h"
#include "transfer/transfer.h"
#include <errno.h>
#include <string.h>

#define IN_FLIGHT_MAX 16
#define BLOCK_SIZE MIB
#define BLOCKS 32
#define ZERO_GRAIN (64 * KIB) /* what is zero in such pieces stays a hole: the usual cluster of an image */
#define LOOK_AROUND_MS 20

struct writing {
    struct transfer_out *out;
    struct blocks *pool;
    struct progress_task *task;
    size_t n_workers;
    uint64_t size;
    pthread_mutex_t lock; /* guards the fields below */
    uint64_t next;        /* not yet handed out */
    uint64_t data_end;    /* [next, data_end) is known to be data */
    /* The writer's own. */
    struct nbd_handle *h; /* NULL: out->fd */
    size_t in_flight;
    int error;
};

/* ---- Workers: out of the store --------------------------------------------------------------------------------------------*/

/* Passes over holes. The caller holds w->lock. */
static int find_data(struct writing *w, struct err *err)
{
    while (w->next == w->data_end && w->next < w->size) {
        uint64_t len;
        bool hole;
        int e = store_image_extent(w->out->image, w->next, &len, &hole, err);
        if (e < 0)
            return e;
        if (len == 0 || len > w->size - w->next)
            return err_set(err, EUCLEAN, "an extent of the image is invalid");
        w->data_end = w->next + len;
        if (hole && w->out->fresh)
            w->next = w->data_end;
        else
            progress_grow(w->task, len);
    }
    return 0;
}

/* 1: b says what to read; 0: nothing is left. Blocks do not straddle multiples of their size. */
static int take_range(struct writing *w, struct block *b, struct err *err)
{
    SCOPED_LOCK(&w->lock);
    int e = find_data(w, err);
    if (e < 0 || w->next == w->size)
        return e;
    uint64_t block = blocks_block_size(w->pool);
    b->off = w->next;
    b->len = (size_t)num_min(w->data_end - w->next, block - w->next % block);
    w->next += b->len;
    return 1;
}

static int write_worker(struct writing *w, struct err *err)
{
    struct block *b;
    int e = 0;

    while (e >= 0 && (b = blocks_get(w->pool, true))) {
        e = take_range(w, b, err);
        if (e > 0)
            e = store_image_read(w->out->image, b->off, b->data, b->len, err) < 0 ? -err->code : 1;
        if (e <= 0) {
            blocks_put(w->pool, b);
            break;
        }
        blocks_push(w->pool, b);
    }
    if (e < 0)
        blocks_fail(w->pool, err);
    blocks_producer_done(w->pool);
    return e < 0 ? e : 0;
}

/* ---- The writer -----------------------------------------------------------------------------------------------------------*/

/* A block may be written in several pieces; it is free again when libnbd has let go of the last one. */
struct pieces {
    struct writing *w;
    struct block *b;
    size_t holders;
};

static void pieces_release(void *priv)
{
    struct pieces *p = priv;

    if (--p->holders)
        return;
    blocks_put(p->w->pool, p->b);
    free(p);
}

static int written(void *priv, int *error)
{
    struct pieces *p = priv;

    p->w->in_flight--;
    if (*error)
        p->w->error = *error;
    return 1; /* retire the command */
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && !memcmp(p, p + 1, n - 1);
}

/* Length of the piece at `at` that is all zero or, in each grain, not; cut at grains of the image. */
static size_t piece_at(const struct block *b, size_t at, bool *ret_zero)
{
    size_t end = at;
    bool zero = false;

    while (end < b->len) {
        size_t grain = (size_t)num_min(ZERO_GRAIN - (b->off + end) % ZERO_GRAIN, b->len - end);
        bool z = all_zero(b->data + end, grain);
        if (end > at && z != zero)
            break;
        zero = z;
        end += grain;
    }
    *ret_zero = zero;
    return end - at;
}

static int send_piece(struct writing *w, struct pieces *p, size_t at, size_t n, bool zero, struct err *err)
{
    struct block *b = p->b;
    nbd_completion_callback cb = { .callback = written, .user_data = p, .free = pieces_release };

    if (!w->h) {
        int e = zero ? 0 : io_pwrite(w->out->fd, b->data + at, n, b->off + at);
        return e < 0 ? err_errno(err, -e, "a write failed") : 0;
    }
    p->holders++; /* libnbd calls pieces_release() once, whatever comes of it */
    w->in_flight++;
    int64_t cookie = zero ? nbd_aio_zero(w->h, n, b->off + at, cb, 0) : nbd_aio_pwrite(w->h, b->data + at, n, b->off + at, cb, 0);
    if (cookie < 0) {
        w->in_flight--;
        return nbd_failed(err, "cannot send a write");
    }
    return 0;
}

static int write_block(struct writing *w, struct block *b, struct err *err)
{
    struct pieces *p = malloc(sizeof(*p));
    if (!p) {
        blocks_put(w->pool, b);
        return err_nomem(err);
    }
    *p = (struct pieces){ w, b, 1 };
    int e = 0;
    for (size_t at = 0, n; at < b->len && e >= 0; at += n) {
        bool zero;
        n = piece_at(b, at, &zero);
        if (zero && w->out->fresh)
            continue;
        e = send_piece(w, p, at, n, zero, err);
        w->out->bytes_written += zero ? 0 : n;
    }
    progress_add(w->task, b->len);
    pieces_release(p);
    return e;
}

static int write_blocks(struct writing *w, struct err *err)
{
    while (!blocks_stopped(w->pool) && !(w->in_flight == 0 && blocks_drained(w->pool))) {
        struct block *b = w->in_flight < IN_FLIGHT_MAX ? blocks_pop(w->pool, w->in_flight == 0) : NULL;
        int e = b ? write_block(w, b, err) : 0;
        if (e < 0)
            return e;
        /* With nothing to send, sleep until an answer comes; else only take what is there. */
        if (w->in_flight && nbd_poll(w->h, b ? 0 : LOOK_AROUND_MS) < 0)
            return nbd_failed(err, "the connection broke");
        if (w->error)
            return err_errno(err, w->error, "a write failed");
    }
    return 0;
}

/* Holes of a target that may hold old data. Those of a fresh one are there already. */
static int write_holes(struct writing *w, struct err *err)
{
    uint64_t len;
    bool hole;

    for (uint64_t off = 0; !w->out->fresh && w->h && off < w->size; off += len) {
        int e = store_image_extent(w->out->image, off, &len, &hole, err);
        if (e < 0)
            return e;
        for (uint64_t at = 0, n; hole && at < len; at += n) {
            n = num_min(len - at, GIB);
            if (nbd_zero(w->h, n, off + at, 0) < 0)
                return nbd_failed(err, "cannot write zeros");
        }
    }
    return 0;
}

static int writer(struct writing *w, struct err *err)
{
    int e = write_holes(w, err);

    if (e >= 0)
        e = write_blocks(w, err);
    if (e >= 0 && !blocks_stopped(w->pool) && w->h && nbd_can_flush(w->h) == 1 && nbd_flush(w->h, 0) < 0)
        e = nbd_failed(err, "cannot flush");
    if (e < 0)
        blocks_fail(w->pool, err);
    return e;
}

static int worker_or_writer(void *ctx, size_t i, struct err *err)
{
    struct writing *w = ctx;

    return i < w->n_workers ? write_worker(w, err) : writer(w, err);
}

/* ---- All of it ------------------------------------------------------------------------------------------------------------*/

static bool write_cancelled(void *priv)
{
    return par_cancelled(priv);
}

static int write_open_target(struct writing *w, const struct transfer *t, struct err *err)
{
    if (!w->out->nbd_uri)
        return 0;
    const struct nbd_patience p = { .stopped = write_cancelled, .priv = (void *)(uintptr_t)t->cancel };
    int e = nbd_open(w->out->nbd_uri, NULL, NULL, &p, &w->h, err);
    if (e < 0)
        return e;
    int64_t size = nbd_get_size(w->h);
    if (size < 0)
        return nbd_failed(err, "cannot determine the size of the target");
    if ((uint64_t)size < w->size)
        return err_set(err, ENOSPC, "the target has %lld bytes, the image has %llu", (long long)size, (unsigned long long)w->size);
    return 0;
}

static int transfer_write_run(struct writing *w, const struct transfer *t, struct err *err)
{
    struct blocks_options o = { .block_size = BLOCK_SIZE, .blocks = BLOCKS, .producers = w->n_workers, .cancel = t->cancel };
    struct err team = ERR_INIT;

    int e = blocks_new(&o, &w->pool, err);
    if (e < 0)
        return e;
    e = par_each(w->n_workers + 1, 0, worker_or_writer, w, &team);
    int first = blocks_result(w->pool, err); /* the first failure in time */
    if (first < 0)
        return first;
    return e < 0 ? err_move(err, &team) : 0;
}

int transfer_write(const struct transfer *t, struct transfer_out *item, struct err *err)
{
    struct writing w = { .out = item, .size = store_image_size(item->image), .n_workers = transfer_threads() };

    item->bytes_written = 0;
    pthread_mutex_init(&w.lock, NULL);
    int e = write_open_target(&w, t, err);
    if (e >= 0)
        e = progress_task_new(t->progress, item->label, 0, &w.task, err);
    if (e >= 0)
        e = transfer_write_run(&w, t, err);
    progress_end(w.task);
    if (w.h && e >= 0)
        (void)nbd_shutdown(w.h, 0);
    nbd_close(w.h); /* frees what is in flight without calling back: only now may the blocks go */
    blocks_free(w.pool);
    pthread_mutex_destroy(&w.lock);
    return e < 0 ? err_context(err, "cannot restore %s", item->label) : 0;
}
