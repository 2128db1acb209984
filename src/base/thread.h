/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one way to start a thread, and to wait for a condition by the monotonic clock. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts fn(arg) in a thread of that name (at most 15 characters are kept; for ps and debuggers). Signals that ask for something (SIGINT,
 * SIGTERM ...) are blocked in it: they are for the program's own threads. ret NULL: it is detached. 0 or -errno. */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg);

/* A condition whose waits have deadlines by clock_mono_ms(). */
void thread_cond_init(pthread_cond_t *cond);
/* Waits until the condition is signalled (true) or the deadline is over (false). May wake without a reason, as any wait. */
bool thread_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ms);

#endif
