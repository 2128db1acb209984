/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counters for long work. Workers add; a viewer (bar, plain lines) reads snapshots. Knows no terminal. Thread-safe. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress;
struct progress_task;

struct progress_view {
    const char *name;     /* "web01 vda"; valid while the progress object lives */
    uint64_t done, total; /* bytes; total may still grow */
    double rate;          /* bytes per second: over the last few seconds; once it has ended, over its whole time */
    int64_t eta_s;        /* seconds left, -1 unknown */
    bool ended;
};

int progress_new(struct progress **ret, struct err *err);
void progress_free(struct progress *p); /* NULL is fine; tasks go with it */

/* A new counter. p == NULL gives *ret = NULL, which the calls below accept and ignore. */
int progress_task_new(struct progress *p, const char *name, uint64_t total, struct progress_task **ret, struct err *err);
void progress_add(struct progress_task *t, uint64_t done);
void progress_grow(struct progress_task *t, uint64_t total);
void progress_end(struct progress_task *t);

/* Copies the present state of up to max tasks (in order of creation); returns how many there are. */
size_t progress_get(struct progress *p, struct progress_view *views, size_t max);

#endif
