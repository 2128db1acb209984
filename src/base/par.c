/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/par.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

struct par_barrier {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t parties;
    size_t waiting;
    unsigned long round;
    bool broken;
};

int par_barrier_new(size_t parties, struct par_barrier **ret, struct err *err)
{
    if (parties == 0)
        return err_set(err, EINVAL, "a barrier needs at least one party");
    struct par_barrier *b = calloc(1, sizeof *b);
    if (!b)
        return err_nomem(err);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->parties = parties;
    *ret = b;
    return 0;
}

void par_barrier_free(struct par_barrier *b)
{
    if (!b)
        return;
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

bool par_barrier_wait(struct par_barrier *b)
{
    SCOPED_LOCK(&b->lock);
    if (b->broken)
        return false;
    unsigned long round = b->round;
    if (++b->waiting == b->parties) {
        b->waiting = 0;
        b->round++;
        pthread_cond_broadcast(&b->changed);
        return true;
    }
    while (round == b->round && !b->broken)
        pthread_cond_wait(&b->changed, &b->lock);
    /* Whoever was let through before the break was through. */
    return round != b->round;
}

void par_barrier_break(struct par_barrier *b)
{
    SCOPED_LOCK(&b->lock);
    b->broken = true;
    pthread_cond_broadcast(&b->changed);
}

/* What the threads of one par_each() share. */
struct team {
    size_t n;
    int (*fn)(void *ctx, size_t i, struct err *err);
    void *ctx;

    pthread_mutex_t lock;
    pthread_cond_t opened;
    enum { GATE_CLOSED, GATE_OPEN, GATE_GIVEN_UP } gate;
    size_t next;
    size_t failed_i; /* lowest that failed, n: none */
    int r;
    struct err *err;
};

static bool team_next(struct team *t, size_t *ret)
{
    SCOPED_LOCK(&t->lock);
    if (t->next == t->n)
        return false;
    *ret = t->next++;
    return true;
}

static void team_failed(struct team *t, size_t i, int r, const struct err *err)
{
    SCOPED_LOCK(&t->lock);
    if (i >= t->failed_i)
        return;
    t->failed_i = i;
    t->r = r;
    if (err->code)
        err_move(t->err, err);
    else
        err_errno(t->err, -r, "item %zu failed", i);
}

static void team_work(struct team *t)
{
    for (size_t i; team_next(t, &i);) {
        struct err e = ERR_INIT;
        int r = t->fn(t->ctx, i, &e);
        if (r < 0)
            team_failed(t, i, r, &e);
    }
}

static void *team_thread(void *arg)
{
    struct team *t = arg;

    pthread_mutex_lock(&t->lock);
    while (t->gate == GATE_CLOSED)
        pthread_cond_wait(&t->opened, &t->lock);
    bool go = t->gate == GATE_OPEN;
    pthread_mutex_unlock(&t->lock);
    if (go)
        team_work(t);
    return NULL;
}

/* Starts up to `want` threads; returns how many were started. */
static size_t team_start(struct team *t, pthread_t *threads, size_t want)
{
    size_t started = 0;

    while (started < want && thread_start(&threads[started], "kvss-team", team_thread, t) == 0)
        started++;
    return started;
}

/* Nobody begins before all are there: with a thread each, the items may wait for one another, and a missing one would hang
 * the others for ever. */
static int team_run(struct team *t, size_t want)
{
    _cleanup_free_ pthread_t *threads = calloc(want, sizeof *threads);

    if (!threads)
        return err_nomem(t->err);
    size_t started = team_start(t, threads, want);
    pthread_mutex_lock(&t->lock);
    t->gate = started == want ? GATE_OPEN : GATE_GIVEN_UP;
    pthread_cond_broadcast(&t->opened);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started < want)
        return err_errno(t->err, EAGAIN, "cannot start %zu threads, only %zu", want, started);
    return t->r;
}

int par_each(size_t n, size_t threads, int (*fn)(void *ctx, size_t i, struct err *err), void *ctx, struct err *err)
{
    struct team t = { .n = n, .fn = fn, .ctx = ctx, .failed_i = n, .err = err };

    if (n == 0)
        return 0;
    if (threads == 0 || threads > n)
        threads = n;
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.opened, NULL);
    int r;
    if (threads == 1) {
        team_work(&t);
        r = t.r;
    } else {
        r = team_run(&t, threads);
    }
    pthread_cond_destroy(&t.opened);
    pthread_mutex_destroy(&t.lock);
    return r;
}
