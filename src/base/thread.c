/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/thread.h"
#include "base/cleanup.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_SIZE 16 /* of the kernel's */

struct thread_begin {
    void *(*fn)(void *);
    void *arg;
    char name[NAME_SIZE];
};

static void *thread_main(void *arg)
{
    struct thread_begin s = *(struct thread_begin *)arg;

    free(arg);
    (void)pthread_setname_np(pthread_self(), s.name);
    return s.fn(s.arg);
}

/* What a thread does wrong itself still ends the program. */
static void block_requests(sigset_t *saved)
{
    static const int own_faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPIPE };
    sigset_t block;

    sigfillset(&block);
    for (size_t i = 0; i < ARRAY_SIZE(own_faults); i++)
        sigdelset(&block, own_faults[i]);
    pthread_sigmask(SIG_BLOCK, &block, saved);
}

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
    struct thread_begin *s = malloc(sizeof *s);
    pthread_t thread;
    sigset_t saved;

    if (!s)
        return -ENOMEM;
    *s = (struct thread_begin){ .fn = fn, .arg = arg };
    memcpy(s->name, name, strnlen(name, NAME_SIZE - 1));
    block_requests(&saved);
    int r = -pthread_create(&thread, NULL, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (r < 0) {
        free(s);
        return r;
    }
    if (ret)
        *ret = thread;
    else
        pthread_detach(thread);
    return 0;
}

void thread_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool thread_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ms)
{
    const struct timespec until = { .tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000L };

    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}
