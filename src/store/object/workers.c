/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/workers.h"
#include "base/cleanup.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct pool_job *first, *last;
    bool stop;
    unsigned threads;
    pthread_t thread[];
};

static struct pool_job *workers_take(struct workers *p)
{
    struct pool_job *job = p->first;

    if (job) {
        p->first = job->next;
        if (!p->first)
            p->last = NULL;
    }
    return job;
}

static void *workers_worker(void *priv)
{
    struct workers *p = priv;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_job *job = workers_take(p);
        if (job) {
            pthread_mutex_unlock(&p->lock);
            job->run(job);
            pthread_mutex_lock(&p->lock);
        } else if (p->stop) {
            break;
        } else {
            pthread_cond_wait(&p->more, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static unsigned cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

int pool_new(unsigned threads, struct workers **ret, struct err *err)
{
    unsigned n = threads ? threads : cores();

    if (n > 256)
        n = 256;
    struct workers *p = calloc(1, sizeof *p + n * sizeof p->thread[0]);
    if (!p)
        return err_nomem(err);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    while (p->threads < n && thread_start(&p->thread[p->threads], "kvss-worker", workers_worker, p) == 0)
        p->threads++;
    if (p->threads == 0) {
        pool_stop(p);
        return err_set(err, EAGAIN, "cannot start worker threads");
    }
    *ret = p;
    return 0;
}

void pool_stop(struct workers *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->more);
    free(p);
}

unsigned pool_threads(const struct workers *p)
{
    return p->threads;
}

void pool_submit(struct workers *p, struct pool_job *job)
{
    SCOPED_LOCK(&p->lock);
    job->next = NULL;
    if (p->last)
        p->last->next = job;
    else
        p->first = job;
    p->last = job;
    pthread_cond_signal(&p->more);
}

static void submit_front(struct workers *p, struct pool_job *job)
{
    SCOPED_LOCK(&p->lock);
    job->next = p->first;
    p->first = job;
    if (!p->last)
        p->last = job;
    pthread_cond_signal(&p->more);
}

bool pool_help(struct workers *p)
{
    pthread_mutex_lock(&p->lock);
    struct pool_job *job = workers_take(p);
    pthread_mutex_unlock(&p->lock);
    if (job)
        job->run(job);
    return job != NULL;
}

/* ---- pool_split -----------------------------------------------------------------------------------------------------------*/

/* Lives until the caller and every helper job have let go of it: a helper may get its turn only after all is done. */
struct split {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned refs;
    size_t n, next, running;
    int (*fn)(void *ctx, size_t i, struct err *err);
    void *ctx;
    int r;
    struct err *err; /* the caller's; touched only while the caller waits */
    struct helper {
        struct pool_job job;
        struct split *split;
    } helpers[];
};

static void split_unref(struct split *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->idle);
    free(s);
}

static void split_run(struct split *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->next < s->n && s->r == 0) {
        struct err err = ERR_INIT;
        size_t i = s->next++;
        s->running++;
        pthread_mutex_unlock(&s->lock);
        int r = s->fn(s->ctx, i, &err);
        pthread_mutex_lock(&s->lock);
        s->running--;
        if (r < 0 && s->r == 0) {
            s->r = r;
            err_move(s->err, &err);
        }
    }
    if (s->running == 0)
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static void helper_run(struct pool_job *job)
{
    struct helper *h = (struct helper *)job;

    split_run(h->split);
    split_unref(h->split);
}

int pool_split(struct workers *p, size_t n, int (*fn)(void *ctx, size_t i, struct err *err), void *ctx, struct err *err)
{
    size_t helpers = n > p->threads ? p->threads : n > 0 ? n - 1 : 0;
    struct split *s = calloc(1, sizeof *s + helpers * sizeof s->helpers[0]);

    if (!s)
        return err_nomem(err);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    s->refs = (unsigned)helpers + 1;
    s->n = n;
    s->fn = fn;
    s->ctx = ctx;
    s->err = err;
    for (size_t i = 0; i < helpers; i++) {
        s->helpers[i] = (struct helper){ .job.run = helper_run, .split = s };
        submit_front(p, &s->helpers[i].job);
    }
    split_run(s);
    pthread_mutex_lock(&s->lock);
    while (s->running > 0)
        pthread_cond_wait(&s->idle, &s->lock);
    int r = s->r;
    pthread_mutex_unlock(&s->lock);
    split_unref(s);
    return r;
}
