/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/chunk/packer_internal.h"
#include "base/num.h"
#include "base/thread.h"
#include <errno.h>
#include <string.h>

static int start_writers(struct packer *p)
{
    while (p->writers < PACK_WRITERS && thread_start(&p->writer[p->writers], "kvss-packer", pack_writer, p) == 0)
        p->writers++;
    return p->writers ? 0 : -EAGAIN;
}

int packer_new(struct env *env, struct index *ix, struct packer **ret, struct err *err)
{
    struct packer *p = calloc(1, sizeof *p);

    if (!p)
        return err_nomem(err);
    p->env = env;
    p->index = ix;
    p->under_way_max = 2 * pool_threads(env->pool) + 2;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->streams_lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    if (start_writers(p) < 0) {
        packer_free(p);
        return err_set(err, EAGAIN, "cannot start threads for writing");
    }
    *ret = p;
    return 0;
}

static void segment_free(struct segment *g)
{
    free(g->sealed);
    free(g);
}

void packer_free(struct packer *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    while (p->under_way)
        pthread_cond_wait(&p->changed, &p->lock);
    p->stop = true;
    packer_changed(p);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->writers; i++)
        pthread_join(p->writer[i], NULL);
    for (size_t i = 0; i < PACK_KINDS; i++)
        if (p->current[i])
            pack_free(p, p->current[i]);
    while (p->spares)
        free(p->spare[--p->spares]);
    while (p->spare_segments) {
        struct segment *g = p->spare_segments;
        p->spare_segments = g->next_spare;
        segment_free(g);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->streams_lock);
    pthread_cond_destroy(&p->changed);
    free(p);
}

void packer_fail(struct packer *p, const struct err *err)
{
    SCOPED_LOCK(&p->lock);
    if (p->failed.code == 0)
        err_move(&p->failed, err);
    packer_changed(p);
}

/* ---- segments -------------------------------------------------------------------------------------------------------------*/

/* Compresses and seals g into the current pack. */
static int seal_segment(struct packer *p, struct segment *g)
{
    size_t head = SEGMENT_HEAD(g->n);
    uint8_t *plain = g->sealed;
    struct pack *k;
    uint32_t off;

    size_t n = zip_pack(p->env->zip, g->data, g->raw, plain + head, zip_bound(SEGMENT_TARGET));
    segment_head(n ? SEGMENT_ZSTD : SEGMENT_RAW, g->n, g->len, plain);
    if (n == 0) {
        n = g->raw;
        memcpy(plain + head, g->data, n);
    }
    n += head;
    int r = pack_reserve(p, g->stream->kind, g, n + CRYPT_TAG_LEN, &k, &off);
    if (r < 0)
        return r;
    num_put_le32(k->bytes + off - 4, (uint32_t)(n + CRYPT_TAG_LEN));
    r = crypt_seal(p->env->crypt, &k->key, off, plain, n, k->bytes + off);
    pack_filled(p, k);
    atomic_fetch_add(&g->stream->stored, n + CRYPT_TAG_LEN + 4);
    return r;
}

/* Segments are used again: fresh memory costs page faults. With the lock held. There are never more than may be under way and
 * one for each stream. */
static void segment_spare(struct packer *p, struct segment *g)
{
    g->next_spare = p->spare_segments;
    p->spare_segments = g;
}

static struct segment *packer_segment_new(struct packer_stream *s)
{
    struct packer *p = s->packer;

    pthread_mutex_lock(&p->lock);
    struct segment *g = p->spare_segments;
    if (g)
        p->spare_segments = g->next_spare;
    pthread_mutex_unlock(&p->lock);
    if (!g) {
        g = malloc(sizeof *g);
        if (!g)
            return NULL;
        g->sealed = malloc(SEGMENT_HEAD(SEGMENT_CHUNKS) + zip_bound(SEGMENT_TARGET));
        if (!g->sealed) {
            free(g);
            return NULL;
        }
    }
    g->stream = s;
    g->n = 0;
    g->raw = 0;
    return g;
}

static void segment_run(struct pool_job *job)
{
    struct segment *g = (struct segment *)job;
    struct packer *p = g->stream->packer;
    struct err err = ERR_INIT;
    int r = seal_segment(p, g);

    if (r < 0 && r != -ECANCELED) {
        err_errno(&err, -r, "cannot compress and encrypt chunks");
        packer_fail(p, &err);
    }
    pthread_mutex_lock(&p->lock);
    p->under_way--;
    atomic_fetch_sub(&g->stream->pending, 1);
    segment_spare(p, g);
    packer_changed(p);
    pthread_mutex_unlock(&p->lock);
}

/* Does a job that waits for a worker, or else waits for a change. With the lock held. Whoever waits for segments must help: it
 * may be a worker itself, and then nobody else might be left to seal them. */
static void help_or_wait(struct packer *p)
{
    uint64_t seen = p->changes;

    pthread_mutex_unlock(&p->lock);
    bool helped = pool_help(p->env->pool);
    pthread_mutex_lock(&p->lock);
    if (!helped && p->changes == seen)
        pthread_cond_wait(&p->changed, &p->lock);
}

/* Waits until less is under way, doing some of it meanwhile. With the lock held. */
static int wait_turn(struct packer *p, struct err *err)
{
    while (p->failed.code == 0 && (p->flushing || p->under_way >= p->under_way_max))
        help_or_wait(p);
    return p->failed.code ? err_move(err, &p->failed) : 0;
}

/* Hands g to the workers. Without any lock held. */
static int send(struct packer_stream *s, struct segment *g, struct err *err)
{
    struct packer *p = s->packer;

    pthread_mutex_lock(&p->lock);
    int r = wait_turn(p, err);
    if (r == 0) {
        p->under_way++;
        atomic_fetch_add(&s->pending, 1);
    }
    pthread_mutex_unlock(&p->lock);
    if (r < 0) {
        segment_free(g);
        return r;
    }
    g->job.run = segment_run;
    pool_submit(p->env->pool, &g->job);
    return 0;
}

void packer_stream_init(struct packer_stream *s, struct packer *p, enum pack_kind kind)
{
    *s = (struct packer_stream){ .packer = p, .kind = kind };
    pthread_mutex_init(&s->lock, NULL);
    SCOPED_LOCK(&p->streams_lock);
    s->next = p->streams;
    s->link = &p->streams;
    if (s->next)
        s->next->link = &s->next;
    p->streams = s;
}

/* Takes the open segment away, to be sent. */
static struct segment *detach(struct packer_stream *s)
{
    SCOPED_LOCK(&s->lock);
    return TAKE_PTR(s->open);
}

static int send_open(struct packer_stream *s, struct err *err)
{
    struct segment *g = detach(s);

    return g ? send(s, g, err) : 0;
}

static void wait_stream(struct packer_stream *s)
{
    struct packer *p = s->packer;

    pthread_mutex_lock(&p->lock);
    while (atomic_load(&s->pending))
        help_or_wait(p);
    pthread_mutex_unlock(&p->lock);
}

/* Copies the chunk into the open segment. A full one is taken out, for the caller to send. */
static int packer_append(struct packer_stream *s, const struct chunk_id *id, const void *p, size_t n, struct segment **ret_full)
{
    SCOPED_LOCK(&s->lock);
    struct segment *g = s->open;
    if (g && (g->raw + n > SEGMENT_TARGET || g->n == SEGMENT_CHUNKS)) {
        *ret_full = g;
        g = s->open = NULL;
    }
    if (!g)
        g = s->open = packer_segment_new(s);
    if (!g)
        return -ENOMEM;
    memcpy(g->data + g->raw, p, n);
    g->id[g->n] = *id;
    g->len[g->n++] = (uint32_t)n;
    g->raw += (uint32_t)n;
    return 0;
}

int packer_add(struct packer_stream *s, const struct chunk_id *id, const void *p, size_t n, struct err *err)
{
    struct segment *full = NULL;
    struct err lost = ERR_INIT;
    int r = packer_append(s, id, p, n, &full);

    if (r < 0) { /* others may count on the chunk already */
        r = err_errno(&lost, -r, "cannot collect chunks");
        packer_fail(s->packer, &lost);
        err_move(err, &lost);
    }
    int sent = full ? send(s, full, r ? NULL : err) : 0;
    return r < 0 ? r : sent;
}

int packer_stream_end(struct packer_stream *s, struct err *err)
{
    int r = send_open(s, err);

    wait_stream(s);
    if (r < 0)
        return r;
    SCOPED_LOCK(&s->packer->lock);
    return s->packer->failed.code ? err_move(err, &s->packer->failed) : 0;
}

void packer_stream_drop(struct packer_stream *s)
{
    if (!s->packer)
        return;
    /* Its chunks are promised to whoever met them since, so they are stored even though the caller gave up. */
    (void)packer_stream_end(s, NULL);
    pthread_mutex_lock(&s->packer->streams_lock);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    pthread_mutex_unlock(&s->packer->streams_lock);
    pthread_mutex_destroy(&s->lock);
    s->packer = NULL;
}

/* Sends what any stream has gathered. */
static int send_all(struct packer *p, struct err *err)
{
    struct packer_stream *s;
    struct segment *g;
    int r = 0;

    do {
        g = NULL;
        pthread_mutex_lock(&p->streams_lock);
        for (s = p->streams; s && !g; s = g ? s : s->next) {
            g = detach(s);
            if (g) /* so that the stream does not go before it is sent */
                atomic_fetch_add(&s->pending, 1);
        }
        pthread_mutex_unlock(&p->streams_lock);
        if (g) {
            struct packer_stream *from = g->stream;
            r = send(from, g, err);
            pthread_mutex_lock(&p->lock);
            atomic_fetch_sub(&from->pending, 1);
            packer_changed(p);
            pthread_mutex_unlock(&p->lock);
        }
    } while (g && r == 0);
    return r;
}

int packer_flush(struct packer *p, struct err *err)
{
    int r = send_all(p, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&p->lock);
    p->flushing++;
    while (p->under_way && p->failed.code == 0)
        help_or_wait(p);
    if (p->failed.code == 0)
        pack_close_all(p);
    while (p->alive && p->failed.code == 0)
        pthread_cond_wait(&p->changed, &p->lock);
    p->flushing--;
    packer_changed(p);
    return p->failed.code ? err_move(err, &p->failed) : 0;
}
