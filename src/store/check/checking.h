/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_CHECK_CHECKING_H
#define STORE_CHECK_CHECKING_H

#include "store/index/index.h"
#include "store/handle/handle.h"
#include "store/object/object.h"

struct checking {
    struct store *store;
    const struct store_check *options;
    void (*fn)(void *priv, const struct store_problem *p);
    void *priv;
    struct names named;          /* packs that the index names */
    struct names packs, missing; /* missing: lost packs with what is nowhere else */
    struct names suspect;        /* packs whose end cannot be read: with `lock` held */
    struct index_set *set;       /* the index as it is checked */
    bool *read;                  /* per pack: whole */
    uint64_t *sizes;             /* per pack: what it counts for in the progress */
    struct progress_task *task;
    pthread_mutex_t lock; /* result, bad, fn */
    struct store_check_result result;
    struct fresh bad; /* ids of chunks that cannot be read */
    bool unknown;     /* a point needs a chunk that the index does not know */
    bool aside;       /* a point needs a chunk that can be read, though the index does not know it */
};

void check_tell(struct checking *c, const char *point, const char *name, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* No damage: nothing that a restore point needs. Not counted. */
void check_warn(struct checking *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Walks all points; tells what is missing or known to be bad. */
int check_points(struct checking *c, struct err *err);

#endif
