/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "vss/dispatch.h"
#include "base/thread.h"
#include <signal.h>
#include <time.h>

/* A handed-in clock wakes nobody: it is looked at this often. */
#define CLOCK_POLL_MS 10

struct deadline deadline_start(const struct vss_session *v, unsigned limit_ms)
{
    return (struct deadline){
        .clock_start = service_now_ms(v->service),
        .real_start = clock_mono_ms(),
        .limit_ms = limit_ms,
    };
}

uint64_t deadline_elapsed_ms(const struct vss_session *v, const struct deadline *d)
{
    uint64_t now = service_now_ms(v->service);
    uint64_t by_clock = now > d->clock_start ? now - d->clock_start : 0;
    uint64_t real_now = clock_mono_ms();
    uint64_t by_time = real_now > d->real_start ? real_now - d->real_start : 0;

    return num_max(by_clock, by_time);
}

uint64_t deadline_left_ms(const struct vss_session *v, const struct deadline *d)
{
    uint64_t elapsed = deadline_elapsed_ms(v, d);

    return elapsed < d->limit_ms ? d->limit_ms - elapsed : 0;
}

void task_init(struct task *t, struct vss_session *v, void (*run)(struct task *t), void (*free_fn)(struct task *t))
{
    *t = (struct task){ .session = v, .run = run, .free = free_fn, .refs = 1 };
}

void task_unref(struct task *t)
{
    struct vss_session *v = t->session;

    pthread_mutex_lock(&v->lock);
    bool last = --t->refs == 0;
    pthread_mutex_unlock(&v->lock);
    if (last)
        t->free(t);
}

static void *task_main(void *arg)
{
    struct task *t = arg;
    struct vss_session *v = t->session;

    t->run(t);
    pthread_mutex_lock(&v->lock);
    t->done = true;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->lock);
    task_unref(t);
    session_unref(v);
    return NULL;
}

static void tasks_start(struct task *t, bool in_thread)
{
    struct vss_session *v = t->session;

    pthread_mutex_lock(&v->lock);
    t->refs++;
    v->refs++;
    pthread_mutex_unlock(&v->lock);
    /* Where there is no thread to be had it is done here and now: a Thaw or an Abort must not fail for that. */
    if (!in_thread || thread_start(NULL, "kvss-handler", task_main, t) < 0) /* detached: nobody waits for one that is late */
        task_main(t);
}

static bool all_done(struct task *const *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!tasks[i]->done)
            return false;
    return true;
}

/* Sleeps until something changes, or for ms. */
static void wait_change(struct vss_session *v, uint64_t ms)
{
    (void)thread_cond_wait_until(&v->changed, &v->lock, clock_mono_ms() + ms);
}

bool tasks_run(struct vss_session *v, struct task *const *tasks, size_t n, const struct deadline *deadline)
{
    for (size_t i = 0; i < n; i++)
        tasks_start(tasks[i], deadline || n > 1);
    SCOPED_LOCK(&v->lock);
    while (!all_done(tasks, n)) {
        uint64_t left = deadline ? deadline_left_ms(v, deadline) : 0;
        if (!deadline)
            pthread_cond_wait(&v->changed, &v->lock);
        else if (left == 0)
            return false;
        else
            wait_change(v, v->service->own_clock ? num_min(left, CLOCK_POLL_MS) : left);
    }
    return true;
}

bool dispatch_wait_late(struct vss_session *v, unsigned limit_ms)
{
    uint64_t until = clock_mono_ms() + limit_ms;

    SCOPED_LOCK(&v->lock);
    while (v->refs > 1) { /* each handler that runs holds the session */
        uint64_t now = clock_mono_ms();
        if (now >= until)
            return false;
        wait_change(v, until - now);
    }
    return true;
}
