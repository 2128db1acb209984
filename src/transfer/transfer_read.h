/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the reading side share. */
#ifndef TRANSFER_TRANSFER_READ_H
#define TRANSFER_TRANSFER_READ_H

#include "base/cleanup.h"
#include "base/rate.h"
#include "transfer/extents.h"
#include "transfer/blocks.h"
#include "transfer/transfer.h"

/* One source being read. Several readers may share it: `lock` guards the plan. */
struct source {
    struct transfer_in *in;
    struct store_image_writer *iw;
    struct progress_task *task;
    pthread_mutex_t lock;
    struct store_point *parent_point; /* NULL: iw was begun without a parent */
    struct store_image *parent;
    unsigned samples; /* chunks compared with it */
    struct extent_status alloc, dirty;
    struct buf plan;     /* struct extent_piece of the window */
    size_t next;         /* piece in it */
    uint64_t planned;    /* end of the window: everything before is in the plan or past */
    uint64_t bytes_read; /* atomic */
    /* Guarded by the reading's lock. */
    bool multi_conn, known, exhausted;
    size_t readers;
};

struct reading {
    const struct transfer *t;
    struct store *store;
    struct store_writer *w;
    struct blocks *pool;
    struct rate *rate; /* NULL: no limit */
    struct source *sources;
    size_t n, n_readers;
    uint64_t chunk;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a source became known or exhausted */
};

/* One reader's connection to one source. Defined in source_nbd.c and source_file.c. */
int source_nbd_open(struct reading *r, struct source *s, struct nbd_handle **ret, struct err *err);
/* Reads until the source has nothing left or the pool stops; then h is fit for nbd_close() only. */
int source_nbd_read(struct reading *r, struct source *s, struct nbd_handle *h, struct err *err);
int source_file_size(const char *path, uint64_t *ret, struct err *err);
int source_file_read(struct reading *r, struct source *s, struct err *err);

/* source_parent.c: taking what did not change from an earlier image. The caller holds s->lock.
 * Opens the parent. One that is gone, damaged or of another size is no failure: then there is none, and in->why_whole. */
int source_parent_open(struct reading *r, struct source *s, struct err *err);
/* Looks for signs, in the window that is planned, that what the server calls unchanged has changed since the parent was made.
 * 0: none; 1: there is one, in in->why_whole. */
int source_parent_doubt(struct reading *r, struct source *s, struct nbd_handle *h, struct err *err);
void source_parent_close(struct source *s);

/* Ends with the reading, and by what is known of who serves the source. */
struct nbd_patience source_patience(struct reading *r, const struct source *s);
/* Waits until so many bytes may be read. False: the pool has stopped meanwhile. */
bool source_may_read(struct reading *r, uint64_t n);
/* Hands a filled block to the workers. */
void source_push(struct reading *r, struct source *s, struct block *b);

#endif
