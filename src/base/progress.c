/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/progress.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>

/* A viewer's samples, newest last: the rate is taken over the time they span. */
#define SAMPLES_MAX 8
#define SAMPLE_EVERY_MS 500

struct sample {
    uint64_t time_ms, done;
};

struct progress_task {
    struct progress_task *next;
    char *name;
    uint64_t done, total;      /* atomic: workers add without a lock */
    uint64_t begin_ms, end_ms; /* end_ms: 0 while it runs; atomic */
    struct sample samples[SAMPLES_MAX];
    size_t n_samples;
};

struct progress {
    pthread_mutex_t lock;
    struct progress_task *first, **last;
};

int progress_new(struct progress **ret, struct err *err)
{
    struct progress *p = calloc(1, sizeof *p);

    if (!p)
        return err_nomem(err);
    pthread_mutex_init(&p->lock, NULL);
    p->last = &p->first;
    *ret = p;
    return 0;
}

static void task_free(struct progress_task *t)
{
    free(t->name);
    free(t);
}

DEFINE_CLEANUP(struct progress_task *, task_free)

void progress_free(struct progress *p)
{
    if (!p)
        return;
    for (struct progress_task *t = p->first, *next; t; t = next) {
        next = t->next;
        task_free(t);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int progress_task_new(struct progress *p, const char *name, uint64_t total, struct progress_task **ret, struct err *err)
{
    if (!p) {
        *ret = NULL;
        return 0;
    }
    _cleanup_(task_free_p) struct progress_task *t = calloc(1, sizeof *t);
    if (!t || !(t->name = strdup(name)))
        return err_nomem(err);
    t->total = total;
    t->begin_ms = clock_mono_ms();
    t->samples[0] = (struct sample){ t->begin_ms, 0 };
    t->n_samples = 1;
    SCOPED_LOCK(&p->lock);
    *p->last = t;
    p->last = &t->next;
    *ret = TAKE_PTR(t);
    return 0;
}

void progress_add(struct progress_task *t, uint64_t done)
{
    if (t)
        __atomic_fetch_add(&t->done, done, __ATOMIC_RELAXED);
}

void progress_grow(struct progress_task *t, uint64_t total)
{
    if (t)
        __atomic_fetch_add(&t->total, total, __ATOMIC_RELAXED);
}

void progress_end(struct progress_task *t)
{
    uint64_t running = 0;

    if (t) /* 0 means running, and the clock of a machine just started may say 0 */
        __atomic_compare_exchange_n(&t->end_ms, &running, clock_mono_ms() + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void take_sample(struct progress_task *t, uint64_t now, uint64_t done)
{
    if (now - t->samples[t->n_samples - 1].time_ms < SAMPLE_EVERY_MS)
        return;
    if (t->n_samples == SAMPLES_MAX) {
        memmove(&t->samples[0], &t->samples[1], (SAMPLES_MAX - 1) * sizeof t->samples[0]);
        t->n_samples--;
    }
    t->samples[t->n_samples++] = (struct sample){ now, done };
}

static double rate_between(uint64_t from_ms, uint64_t to_ms, uint64_t bytes)
{
    return to_ms > from_ms ? (double)bytes * 1000.0 / (double)(to_ms - from_ms) : 0;
}

static int64_t progress_time_left(const struct progress_view *v)
{
    if (v->ended || v->done >= v->total)
        return 0;
    if (v->rate <= 0)
        return -1;
    double s = (double)(v->total - v->done) / v->rate + 0.999;
    return s < 1e9 ? (int64_t)s : -1;
}

static struct progress_view view_of(struct progress_task *t, uint64_t now)
{
    struct progress_view v = {
        .name = t->name,
        .done = __atomic_load_n(&t->done, __ATOMIC_RELAXED),
        .total = __atomic_load_n(&t->total, __ATOMIC_RELAXED),
    };
    uint64_t end = __atomic_load_n(&t->end_ms, __ATOMIC_RELAXED);

    v.ended = end != 0;
    if (v.ended) {
        v.rate = rate_between(t->begin_ms, end - 1, v.done);
    } else {
        struct sample oldest = t->samples[0];
        v.rate = rate_between(oldest.time_ms, now, v.done - oldest.done);
        take_sample(t, now, v.done);
    }
    v.eta_s = progress_time_left(&v);
    return v;
}

size_t progress_get(struct progress *p, struct progress_view *views, size_t max)
{
    size_t n = 0;

    if (!p)
        return 0;
    SCOPED_LOCK(&p->lock);
    uint64_t now = clock_mono_ms();
    for (struct progress_task *t = p->first; t; t = t->next, n++)
        if (n < max)
            views[n] = view_of(t, now);
    return n;
}
