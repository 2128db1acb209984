/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work on n items at once, and barriers that end early when one of the items has failed. */
#ifndef BASE_PAR_H
#define BASE_PAR_H

#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>

/* Runs fn(ctx, i, &err_i) for i in [0, n), at most `threads` at once (0: one thread each). Waits for all. Returns 0, or the
 * failure of the lowest i that failed, its text in err. -EAGAIN: the threads could not be started; then fn was not called at all.
 * Signals that ask for something (SIGINT, SIGTERM ...) are blocked in the threads. */
int par_each(size_t n, size_t threads, int (*fn)(void *ctx, size_t i, struct err *err), void *ctx, struct err *err);

/* A barrier for n parties that can be broken: after par_barrier_break() every present and later wait returns false at once. */
struct par_barrier;
int par_barrier_new(size_t parties, struct par_barrier **ret, struct err *err);
void par_barrier_free(struct par_barrier *b);
bool par_barrier_wait(struct par_barrier *b);
void par_barrier_break(struct par_barrier *b);

/* A flag that any thread or a signal handler may raise. */
struct par_cancel {
    volatile int raised;
};
static inline bool par_cancelled(const struct par_cancel *c)
{
    return c && __atomic_load_n(&c->raised, __ATOMIC_RELAXED);
}
static inline void par_cancel_raise(struct par_cancel *c)
{
    __atomic_store_n(&c->raised, 1, __ATOMIC_RELAXED);
}

#endif
