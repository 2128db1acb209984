/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an NBD export: ask what is where, then keep many reads in flight. */
#include "base/clock.h"
#include "base/num.h"
#include "transfer/transfer_read.h"
#include <errno.h>
#include <string.h>

#define IN_FLIGHT_MAX 16 /* blocks */
/* QEMU takes a buffer for every read. glibc gets large ones from the kernel, page by page, and gives them back: serving 3 GB in reads of
 * 1 MiB took 18 s of CPU time, in reads of 256 KiB 2 s. */
#define READ_SIZE (256 * KIB)
#define ASK_MAX (2 * GIB) /* NBD's block status counts in 32 bits */
#define WINDOW (64 * GIB) /* planned at once: bounds the plan's memory */
#define LOOK_AROUND_MS 100
#define LAST_REPLIES_MS 2000u
#define REPLY_MS 300000u /* for the server of a disk that no QEMU of a VM's serves to answer: a network may swallow a question */

static bool pool_stopped(void *priv)
{
    return blocks_stopped(priv);
}

struct nbd_patience source_patience(struct reading *r, const struct source *s)
{
    return (struct nbd_patience){
        .stopped = pool_stopped,
        .priv = r->pool,
        .answers = s->in->answers,
        .answers_priv = s->in->answers_priv,
        .give_up_ms = s->in->apart ? REPLY_MS : 0,
    };
}

int source_nbd_open(struct reading *r, struct source *s, struct nbd_handle **ret, struct err *err)
{
    const struct nbd_patience p = source_patience(r, s);

    return nbd_open(s->in->nbd_uri, s->in->dirty_context, r->t->keeper, &p, ret, err);
}

/* ---- What is where --------------------------------------------------------------------------------------------------------*/

struct answer {
    struct source *s;
    uint64_t limit;
    struct err *err;
};

static int take_extents(void *priv, const char *context, uint64_t off, uint32_t *entries, size_t n, int *error)
{
    struct answer *a = priv;
    bool alloc = !strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION);

    if (extent_status_add(alloc ? &a->s->alloc : &a->s->dirty, off, entries, n, a->limit, a->err) < 0) {
        *error = a->err->code;
        return -1;
    }
    return 0;
}

/* Contexts may be answered to different lengths: the question goes on where the shorter one ends. */
static int source_nbd_ask(struct reading *r, struct source *s, struct nbd_handle *h, uint64_t end, bool with_dirty, struct err *err)
{
    const struct nbd_patience p = source_patience(r, s);
    struct err why = ERR_INIT;
    struct answer a = { s, end, &why };

    for (uint64_t from; (from = with_dirty ? num_min(s->alloc.end, s->dirty.end) : s->alloc.end) < end;) {
        nbd_extent_callback cb = { .callback = take_extents, .user_data = &a };
        int64_t cookie = nbd_aio_block_status(h, num_min(end - from, ASK_MAX), from, cb, NBD_NULL_COMPLETION, 0);
        if (nbd_finish(h, cookie, &p, err) < 0)
            return why.code ? err_move(err, &why) : err_context(err, "cannot query which parts contain data");
        if ((with_dirty ? num_min(s->alloc.end, s->dirty.end) : s->alloc.end) <= from)
            return err_set(err, EPROTO, "the NBD server reports nothing about the data at %llu", (unsigned long long)from);
    }
    return 0;
}

static void count_work(struct source *s)
{
    const struct extent_piece *p = (const struct extent_piece *)(const void *)s->plan.data;

    for (size_t i = 0; i < s->plan.len / sizeof(*p); i++)
        if (p[i].kind == EXTENT_READ)
            progress_grow(s->task, p[i].len);
}

/* Fills s->alloc and s->dirty for [s->planned, end). *ret_dirty: what changed is known, by the server or beforehand. */
static int ask_window(struct reading *r, struct source *s, struct nbd_handle *h, uint64_t end, bool *ret_dirty, struct err *err)
{
    bool alloc = nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    bool dirty = alloc && s->in->dirty_context && nbd_can_meta_context(h, s->in->dirty_context) == 1;
    int e = 0;

    extent_status_reset(&s->alloc, s->planned);
    extent_status_reset(&s->dirty, s->planned);
    if (alloc)
        e = source_nbd_ask(r, s, h, end, dirty, err);
    for (uint64_t at = s->planned; !alloc && e >= 0 && at < end; at = s->alloc.end) { /* nothing is known: all of it is data */
        uint32_t all_data[2] = { (uint32_t)num_min(end - at, ASK_MAX), 0 };
        e = extent_status_add(&s->alloc, at, all_data, 2, end, err);
    }
    if (e >= 0 && dirty)
        s->in->dirty += extent_dirty_bytes(&s->dirty);
    if (e >= 0 && alloc && !dirty && s->in->changes_known) {
        uint64_t changed = 0;
        e = extent_status_changed(&s->dirty, &s->alloc, s->in->changed, s->in->n_changed, end, &changed) < 0 ? err_nomem(err) : 0;
        s->in->dirty += changed;
        dirty = true;
    }
    *ret_dirty = dirty;
    return e;
}

static int make_plan(struct reading *r, struct source *s, bool dirty, uint64_t end, struct err *err)
{
    buf_reset(&s->plan);
    s->next = 0;
    return extent_plan(&s->alloc, dirty ? &s->dirty : NULL, end, r->chunk, &s->plan, err);
}

/* Plans the next window. The caller holds s->lock. Once there is a doubt about what did not change, everything is read. */
static int plan_window(struct reading *r, struct source *s, struct nbd_handle *h, struct err *err)
{
    uint64_t end = num_min(s->in->size, s->planned + (WINDOW - WINDOW % r->chunk));
    bool dirty;

    int e = ask_window(r, s, h, end, &dirty, err);
    if (s->parent && !dirty && !s->in->why_whole[0])
        snprintf(s->in->why_whole, sizeof(s->in->why_whole), "the server does not report what changed");
    dirty = dirty && s->parent && !s->in->why_whole[0];
    if (e >= 0)
        e = make_plan(r, s, dirty, end, err);
    if (e >= 0 && dirty)
        e = source_parent_doubt(r, s, h, err);
    if (e > 0)
        e = make_plan(r, s, false, end, err);
    if (e < 0)
        return e;
    s->planned = end;
    count_work(s);
    return 0;
}

/* Cuts at most `max` bytes to be read off the plan. 1: there is some; 0: the source is exhausted. */
static int next_read(struct reading *r, struct source *s, struct nbd_handle *h, struct block *b, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    for (;;) {
        if (s->next == s->plan.len / sizeof(struct extent_piece)) {
            if (s->planned == s->in->size)
                return 0;
            int e = plan_window(r, s, h, err);
            if (e < 0)
                return e;
            continue;
        }
        struct extent_piece *p = (struct extent_piece *)(void *)s->plan.data + s->next;
        if (p->kind == EXTENT_READ) {
            b->off = p->off;
            b->len = (size_t)num_min(p->len, blocks_block_size(r->pool));
            p->off += b->len;
            p->len -= b->len;
            s->next += p->len == 0;
            return 1;
        }
        /* Without a parent, what is not written is zero already. */
        int e = p->kind == EXTENT_ZERO && s->parent ? store_image_zero(s->iw, p->off, p->len, err) : 0;
        if (e < 0)
            return e;
        s->next++;
    }
}

/* ---- Reads in flight ------------------------------------------------------------------------------------------------------*/

/* One reader's connection. Its callbacks run in its own thread, inside nbd_poll(). */
struct flight {
    struct reading *r;
    struct source *s;
    struct nbd_handle *h;
    bool whole; /* the server sends no reply in pieces if asked not to */
    size_t in_flight;
    int error;
};

/* One block being filled, by several reads. Each of libnbd's commands has a share in it. */
struct request {
    struct flight *f;
    struct block *b;
    unsigned pending; /* reads under way */
    unsigned shares;
    int error;
};

static void drop_share(void *priv)
{
    struct request *q = priv;

    if (--q->shares == 0)
        free(q);
}

static void block_done(struct request *q)
{
    q->f->in_flight--;
    if (q->error) {
        q->f->error = q->error;
        blocks_put(q->f->r->pool, q->b);
    } else {
        source_push(q->f->r, q->f->s, q->b);
    }
}

static int arrived(void *priv, int *error)
{
    struct request *q = priv;

    if (*error)
        q->error = *error;
    if (--q->pending == 0)
        block_done(q);
    return 1; /* retire the command */
}

static int take_chunk(void *priv, const void *data, size_t n, uint64_t off, unsigned status, int *error)
{
    (void)priv, (void)data, (void)n, (void)off, (void)status, (void)error;
    return 0; /* it is in its place, or libnbd fails the read */
}

static int64_t start_part(struct request *q, size_t off)
{
    const struct block *b = q->b;
    size_t len = num_min(READ_SIZE, b->len - off);
    nbd_completion_callback cb = { .callback = arrived, .user_data = q, .free = drop_share };

    if (q->f->whole)
        return nbd_aio_pread_structured(q->f->h, b->data + off, len, b->off + off, (nbd_chunk_callback){ .callback = take_chunk }, cb,
                                        LIBNBD_CMD_FLAG_DF);
    return nbd_aio_pread(q->f->h, b->data + off, len, b->off + off, cb, 0);
}

static int start_read(struct flight *f, struct block *b, struct err *err)
{
    struct request *q = malloc(sizeof(*q));
    int e = 0;

    if (!q) {
        blocks_put(f->r->pool, b);
        return err_nomem(err);
    }
    *q = (struct request){ .f = f, .b = b, .pending = 1, .shares = 1 };
    f->in_flight++;
    for (size_t off = 0; off < b->len && e >= 0; off += READ_SIZE) {
        q->pending++;
        q->shares++; /* libnbd drops it in any case; on failure `arrived` is not called */
        if (start_part(q, off) < 0) {
            e = nbd_failed(err, "cannot send a read");
            q->pending--;
            q->error = EIO;
        }
    }
    if (--q->pending == 0)
        block_done(q);
    drop_share(q);
    return e;
}

/* Begins one more read if there is a block for it. 1: begun; 0: not now; sets *ret_end at the end of the source. */
static int feed(struct flight *f, bool *ret_end, struct err *err)
{
    struct block *b = blocks_get(f->r->pool, f->in_flight == 0);

    if (!b)
        return 0;
    int e = next_read(f->r, f->s, f->h, b, err);
    if (e <= 0) {
        blocks_put(f->r->pool, b);
        *ret_end = e == 0;
        return e;
    }
    if (!source_may_read(f->r, b->len)) {
        blocks_put(f->r->pool, b);
        return 0;
    }
    e = start_read(f, b, err);
    return e < 0 ? e : 1;
}

static int fly(struct flight *f, struct err *err)
{
    const struct nbd_patience p = source_patience(f->r, f->s);
    uint64_t last = clock_mono_ms();
    bool end = false;

    while ((!end || f->in_flight) && !blocks_stopped(f->r->pool)) {
        int e = 1;
        while (!end && e > 0 && f->in_flight < IN_FLIGHT_MAX)
            e = feed(f, &end, err);
        if (e < 0)
            return e;
        if (f->in_flight && (e = nbd_wait(f->h, &p, &last, err)) < 0)
            return blocks_stopped(f->r->pool) ? 0 : e;
        if (!f->in_flight)
            last = clock_mono_ms();
        if (f->error)
            return err_errno(err, f->error, "a read failed");
    }
    return 0;
}

/* Given up with reads under way: replies that come at once are taken. The others are the keeper's (transfer_read()). */
static void take_replies(struct flight *f)
{
    uint64_t end = clock_mono_ms() + LAST_REPLIES_MS;

    while (f->in_flight && !nbd_given_up(f->h) && clock_mono_ms() < end && nbd_poll(f->h, LOOK_AROUND_MS) >= 0)
        ;
}

int source_nbd_read(struct reading *r, struct source *s, struct nbd_handle *h, struct err *err)
{
    /* In one piece: what is data is known already, so that the server need not look for holes once more; and QEMU (7.2) drops the
     * connection where it cannot read a part of a reply in pieces, instead of saying so. */
    struct flight f = { .r = r, .s = s, .h = h, .whole = nbd_can_df(h) == 1 };

    /* The connection is only closed afterwards: that frees reads in flight without their callbacks, so nothing writes to their blocks
     * any more; and no farewell is sent, for to QEMU it would be a client that goes away (keeper.h). */
    int e = fly(&f, err);

    if (!s->in->apart)
        take_replies(&f);
    return e;
}
