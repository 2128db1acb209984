/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Worker threads. Jobs are run in the order they come, except that pieces of a pool_split() go before waiting jobs. */
#ifndef STORE_OBJECT_WORKERS_H
#define STORE_OBJECT_WORKERS_H

#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>

struct workers;
struct pool_job {
    struct pool_job *next;
    void (*run)(struct pool_job *job); /* owns the job's memory from here on */
};

/* threads 0: one per core. */
int pool_new(unsigned threads, struct workers **ret, struct err *err);
void pool_stop(struct workers *p); /* after all jobs have run; NULL is fine */
unsigned pool_threads(const struct workers *p);

void pool_submit(struct workers *p, struct pool_job *job);
/* Runs one waiting job in the calling thread; false if there is none. */
bool pool_help(struct workers *p);

/* Runs fn(ctx, i, &err) for i in [0, n); the caller takes part, workers that are free join. Returns when all are done; after
 * a failure no further ones are begun. The first failure is returned. */
int pool_split(struct workers *p, size_t n, int (*fn)(void *ctx, size_t i, struct err *err), void *ctx, struct err *err);

#endif
