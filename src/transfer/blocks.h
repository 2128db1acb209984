/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocks of bytes on their way from producers to consumers, in different threads. The number of blocks is fixed, so memory is
 * bounded; whoever fails stops everyone. */
#ifndef TRANSFER_BLOCKS_H
#define TRANSFER_BLOCKS_H

#include "base/cleanup.h"
#include "base/par.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocks;

struct block {
    struct block *next; /* the pool's */
    uint8_t *data;      /* capacity: block_size of the pool, page-aligned */
    uint64_t off;       /* the rest is the users' */
    size_t len;
    void *owner;
    int error;
};

struct blocks_options {
    size_t block_size, blocks;
    size_t producers;                /* that will call blocks_producer_done() */
    const struct par_cancel *cancel; /* may be NULL */
};
int blocks_new(const struct blocks_options *options, struct blocks **ret, struct err *err);
void blocks_free(struct blocks *p); /* no thread may use it any more; NULL is fine */
DEFINE_CLEANUP(struct blocks *, blocks_free)
size_t blocks_block_size(const struct blocks *p);

/* A free block. NULL: none is free now (only if !wait), or the pool has failed or was cancelled. */
struct block *blocks_get(struct blocks *p, bool wait);
void blocks_put(struct blocks *p, struct block *b);  /* back among the free ones */
void blocks_push(struct blocks *p, struct block *b); /* to the consumers */
/* The next filled block, in the order they were pushed. NULL: none now (only if !wait), no more will come, or failed. */
struct block *blocks_pop(struct blocks *p, bool wait);
bool blocks_drained(struct blocks *p); /* all producers are done and nothing is queued */

void blocks_producer_done(struct blocks *p);
/* Stops everyone; the first failure is kept. Returns -err->code. */
int blocks_fail(struct blocks *p, const struct err *err);
/* True once failed or cancelled. */
bool blocks_stopped(struct blocks *p);
/* 0, or the failure. */
int blocks_result(struct blocks *p, struct err *err);

#endif
