/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Into the repository: readers, workers, and the end of each image. */
#include "transfer/transfer_read.h"
#include "base/clock.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

#define READERS_MAX 4
#define CONNECTIONS_MAX 2 /* per disk: more do not make QEMU read faster */
#define BLOCK_SIZE MIB
#define MEMORY_MAX (64 * MIB)
#define RATE_BLOCKS 4 /* what is read at once is no more than a quarter of a second's worth */

static bool read_stopped(void *priv)
{
    return blocks_stopped(priv);
}

bool source_may_read(struct reading *r, uint64_t n)
{
    return rate_wait(r->rate, n, read_stopped, r->pool);
}

void source_push(struct reading *r, struct source *s, struct block *b)
{
    b->owner = s;
    __atomic_fetch_add(&s->bytes_read, b->len, __ATOMIC_RELAXED);
    blocks_push(r->pool, b);
}

/* ---- Readers --------------------------------------------------------------------------------------------------------------*/

/* A source for one more reader: one that nobody reads, else one that takes several connections. *ret_wait: there is none yet, but
 * a source has just been begun and it is not known whether it takes more. The caller holds r->lock. */
static struct source *pick_now(struct reading *r, bool *ret_wait)
{
    struct source *shared = NULL;

    *ret_wait = false;
    for (size_t i = 0; i < r->n; i++) {
        struct source *s = &r->sources[i];
        if (s->exhausted)
            continue;
        if (s->readers == 0)
            return s;
        if (!s->known)
            *ret_wait = true;
        else if (!shared && s->multi_conn && s->readers < CONNECTIONS_MAX)
            shared = s;
    }
    return shared;
}

/* NULL: no source needs one more reader. */
static struct source *pick(struct reading *r)
{
    struct source *s;
    bool wait;

    SCOPED_LOCK(&r->lock);
    while (!(s = pick_now(r, &wait)) && wait)
        pthread_cond_wait(&r->changed, &r->lock);
    if (s)
        s->readers++;
    return s;
}

static void make_known(struct reading *r, struct source *s, bool multi_conn)
{
    SCOPED_LOCK(&r->lock);
    s->known = true;
    s->multi_conn = multi_conn;
    pthread_cond_broadcast(&r->changed);
}

static void leave(struct reading *r, struct source *s)
{
    SCOPED_LOCK(&r->lock);
    s->readers--;
    s->known = s->exhausted = true; /* a reader only leaves when there is nothing left to begin */
    pthread_cond_broadcast(&r->changed);
}

static int begin_image(struct reading *r, struct source *s, struct err *err)
{
    struct transfer_in *in = s->in;

    if (s->iw)
        return 0;
    int e = in->parent_point ? source_parent_open(r, s, err) : 0;
    if (e >= 0)
        e = store_image_begin(r->w, in->image, in->size, s->parent ? in->parent_point : NULL, s->parent ? in->parent_image : NULL, &s->iw,
                              err);
    return e < 0 ? e : progress_task_new(r->t->progress, in->label, 0, &s->task, err);
}

static int read_nbd(struct reading *r, struct source *s, struct err *err)
{
    _cleanup_(nbd_close_p) struct nbd_handle *h = NULL;
    int e = source_nbd_open(r, s, &h, err);
    if (e < 0)
        return e;

    pthread_mutex_lock(&s->lock);
    int64_t size = nbd_get_size(h);
    if (size < 0)
        e = nbd_failed(err, "cannot determine the size of the export");
    else if (s->iw && s->in->size != (uint64_t)size)
        e = err_set(err, EIO, "the size of the export has changed");
    else
        s->in->size = (uint64_t)size;
    if (e >= 0)
        e = begin_image(r, s, err);
    pthread_mutex_unlock(&s->lock);

    if (e < 0)
        return e;
    make_known(r, s, nbd_can_multi_conn(h) == 1);
    return source_nbd_read(r, s, h, err);
}

static int transfer_read_file(struct reading *r, struct source *s, struct err *err)
{
    int e = source_file_size(s->in->path, &s->in->size, err);
    if (e >= 0)
        e = begin_image(r, s, err);
    if (e >= 0)
        e = source_file_read(r, s, err);
    return e;
}

static int reader(struct reading *r, struct err *err)
{
    int e = 0;

    for (struct source *s; e >= 0 && !blocks_stopped(r->pool) && (s = pick(r));) {
        e = s->in->nbd_uri ? read_nbd(r, s, err) : transfer_read_file(r, s, err);
        leave(r, s);
        if (e < 0) {
            err_context(err, "cannot read %s", s->in->label);
            if (!blocks_stopped(r->pool)) { /* else it may be a consequence of another's failure */
                s->in->failed = true;
                snprintf(s->in->failure, sizeof(s->in->failure), "%s", err->text);
            }
            blocks_fail(r->pool, err);
        }
    }
    blocks_producer_done(r->pool);
    return e;
}

/* ---- Workers --------------------------------------------------------------------------------------------------------------*/

static int read_worker(struct reading *r, struct err *err)
{
    for (struct block *b; (b = blocks_pop(r->pool, true));) {
        struct source *s = b->owner;
        size_t len = b->len;
        int e = store_image_write(s->iw, b->off, b->data, len, err);
        blocks_put(r->pool, b);
        if (e < 0) {
            err_context(err, "cannot store %s", s->in->label);
            return blocks_fail(r->pool, err);
        }
        progress_add(s->task, len);
    }
    return 0;
}

static int reader_or_worker(void *ctx, size_t i, struct err *err)
{
    struct reading *r = ctx;

    return i < r->n_readers ? reader(r, err) : read_worker(r, err);
}

/* ---- All of it ------------------------------------------------------------------------------------------------------------*/

static int make_pool(struct reading *r, struct err *err)
{
    uint64_t per_s = r->t->bytes_per_s, most = per_s ? num_min(per_s / RATE_BLOCKS, BLOCK_SIZE) : BLOCK_SIZE;
    uint64_t block = num_max(most - most % r->chunk, r->chunk);
    struct blocks_options o = {
        .block_size = (size_t)block,
        .blocks = (size_t)num_max(MEMORY_MAX / block, 8),
        .producers = r->n_readers,
        .cancel = r->t->cancel,
    };

    return blocks_new(&o, &r->pool, err);
}

static int end_images(struct reading *r, struct err *err)
{
    for (size_t i = 0; i < r->n; i++) {
        struct source *s = &r->sources[i];
        int e = store_image_end(TAKE_PTR(s->iw), &s->in->stats, err);
        if (e < 0)
            return err_context(err, "cannot store %s", s->in->label);
        s->in->bytes_read = s->bytes_read;
        progress_end(s->task);
    }
    return 0;
}

static void read_release(struct reading *r)
{
    blocks_free(r->pool);
    rate_free(r->rate);
    for (size_t i = 0; i < r->n; i++) {
        struct source *s = &r->sources[i];
        store_image_drop(s->iw);
        source_parent_close(s);
        buf_free(&s->alloc.runs);
        buf_free(&s->dirty.runs);
        buf_free(&s->plan);
        pthread_mutex_destroy(&s->lock);
    }
    free(r->sources);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

int transfer_read(const struct transfer *t, struct store *store, struct store_writer *w, struct transfer_in *items, size_t n,
                  struct err *err)
{
    struct reading r = { .t = t, .store = store, .w = w, .n = n, .chunk = store_chunk_size(store) };

    if (n == 0)
        return 0;
    if (r.chunk == 0)
        return err_set(err, EINVAL, "the repository reports no chunk size");
    r.n_readers = n * CONNECTIONS_MAX < READERS_MAX ? n * CONNECTIONS_MAX : READERS_MAX;
    r.sources = calloc(n, sizeof(*r.sources));
    if (!r.sources)
        return err_nomem(err);
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    for (size_t i = 0; i < n; i++) {
        r.sources[i].in = &items[i];
        pthread_mutex_init(&r.sources[i].lock, NULL);
    }

    struct err team = ERR_INIT;
    int e = t->bytes_per_s ? rate_new(t->bytes_per_s, &r.rate, err) : 0;
    if (e >= 0)
        e = make_pool(&r, err);
    if (e >= 0) {
        e = par_each(r.n_readers + transfer_threads(), 0, reader_or_worker, &r, &team);
        int first = blocks_result(r.pool, err); /* the first failure in time: it says more than the lowest thread's */
        e = first < 0 ? first : e < 0 ? err_move(err, &team) : 0;
    }
    /* While QEMU waits for someone to take its replies it cannot end the job: it waits for ever, and its guest with it (QEMU 7.2). */
    if (e < 0)
        keeper_discard(t->keeper);
    if (e >= 0)
        e = end_images(&r, err);
    read_release(&r);
    return e;
}
