/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transfer/blocks.h"
#include "base/clock.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

#define ALIGNMENT 4096
#define LOOK_AT_CANCEL_MS 100

struct blocks {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct block *blocks; /* all of them, to be freed */
    size_t n_blocks, block_size;
    struct block *free, *first, **last;
    size_t producers;
    const struct par_cancel *cancel;
    struct err failure;
};

int blocks_new(const struct blocks_options *o, struct blocks **ret, struct err *err)
{
    _cleanup_(blocks_free_p) struct blocks *p = calloc(1, sizeof(*p));
    if (!p)
        return err_nomem(err);
    pthread_mutex_init(&p->lock, NULL);
    thread_cond_init(&p->changed);
    p->last = &p->first;
    p->block_size = o->block_size;
    p->producers = o->producers;
    p->cancel = o->cancel;
    p->blocks = calloc(o->blocks, sizeof(*p->blocks));
    if (!p->blocks)
        return err_nomem(err);
    for (; p->n_blocks < o->blocks; p->n_blocks++) {
        struct block *b = &p->blocks[p->n_blocks];
        if (posix_memalign((void **)&b->data, ALIGNMENT, o->block_size))
            return err_nomem(err);
        b->next = p->free;
        p->free = b;
    }
    *ret = TAKE_PTR(p);
    return 0;
}

void blocks_free(struct blocks *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_blocks; i++)
        free(p->blocks[i].data);
    free(p->blocks);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

size_t blocks_block_size(const struct blocks *p)
{
    return p->block_size;
}

static bool transfer_blocks_stopped(const struct blocks *p)
{
    return p->failure.code || par_cancelled(p->cancel);
}

/* The cancel flag is raised by a signal handler, which can wake no one: so no wait is longer than a moment. */
static void wait_a_moment(struct blocks *p)
{
    (void)thread_cond_wait_until(&p->changed, &p->lock, clock_mono_ms() + LOOK_AT_CANCEL_MS);
}

struct block *blocks_get(struct blocks *p, bool wait)
{
    SCOPED_LOCK(&p->lock);
    while (!p->free && wait && !transfer_blocks_stopped(p))
        wait_a_moment(p);
    if (!p->free || transfer_blocks_stopped(p))
        return NULL;
    struct block *b = p->free;
    p->free = b->next;
    b->next = NULL;
    b->error = 0;
    return b;
}

void blocks_put(struct blocks *p, struct block *b)
{
    SCOPED_LOCK(&p->lock);
    b->next = p->free;
    p->free = b;
    pthread_cond_broadcast(&p->changed);
}

void blocks_push(struct blocks *p, struct block *b)
{
    SCOPED_LOCK(&p->lock);
    b->next = NULL;
    *p->last = b;
    p->last = &b->next;
    pthread_cond_broadcast(&p->changed);
}

struct block *blocks_pop(struct blocks *p, bool wait)
{
    SCOPED_LOCK(&p->lock);
    while (!p->first && p->producers && wait && !transfer_blocks_stopped(p))
        wait_a_moment(p);
    struct block *b = p->first;
    if (!b || transfer_blocks_stopped(p))
        return NULL;
    p->first = b->next;
    if (!p->first)
        p->last = &p->first;
    b->next = NULL;
    return b;
}

bool blocks_drained(struct blocks *p)
{
    SCOPED_LOCK(&p->lock);
    return !p->first && !p->producers;
}

void blocks_producer_done(struct blocks *p)
{
    SCOPED_LOCK(&p->lock);
    p->producers--;
    pthread_cond_broadcast(&p->changed);
}

int blocks_fail(struct blocks *p, const struct err *err)
{
    SCOPED_LOCK(&p->lock);
    if (!p->failure.code) {
        err_move(&p->failure, err);
        if (!p->failure.code)
            err_set(&p->failure, EIO, "failed without giving a reason");
    }
    pthread_cond_broadcast(&p->changed);
    return -(err->code ? err->code : EIO);
}

bool blocks_stopped(struct blocks *p)
{
    SCOPED_LOCK(&p->lock);
    return transfer_blocks_stopped(p);
}

int blocks_result(struct blocks *p, struct err *err)
{
    SCOPED_LOCK(&p->lock);
    if (p->failure.code)
        return err_move(err, &p->failure);
    return par_cancelled(p->cancel) ? err_set(err, EINTR, "interrupted") : 0;
}
