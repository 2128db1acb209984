/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New chunks on their way into packs: gathered into segments, compressed and sealed by the workers, gathered into packs, put
 * by writer threads, then told to the index. Memory is bounded: callers work or wait when too much is under way.
 * After a failure (ENOSPC ...) every further call fails with it: chunks that were promised to others are lost. */
#ifndef STORE_CHUNK_PACKER_H
#define STORE_CHUNK_PACKER_H

#include "store/index/index.h"

#define SEGMENT_TARGET ((size_t)1 << 20)

enum pack_kind { PACK_DATA, PACK_META, PACK_KINDS };

struct packer;
int packer_new(struct env *env, struct index *ix, struct packer **ret, struct err *err);
/* Waits for what is under way; current packs that are not full are given up. NULL is fine. */
void packer_free(struct packer *p);

/* One stream of chunks that belong together, e.g. an image. Thread-safe. */
struct packer_stream {
    struct packer *packer;
    enum pack_kind kind;
    pthread_mutex_t lock; /* open */
    struct segment *open;
    atomic_uint_least64_t stored;       /* bytes that its finished segments take in packs */
    atomic_uint pending;                /* segments not finished */
    struct packer_stream *next, **link; /* in the packer's list */
};
void packer_stream_init(struct packer_stream *s, struct packer *p, enum pack_kind kind);
/* As packer_stream_end(), whatever comes of it; s is no longer used then. Does nothing if it was never made. */
void packer_stream_drop(struct packer_stream *s);

/* Takes a copy of a claimed chunk. */
int packer_add(struct packer_stream *s, const struct chunk_id *id, const void *p, size_t n, struct err *err);
/* Sends off the open segment and waits until all of the stream's segments are in packs (in memory). */
int packer_stream_end(struct packer_stream *s, struct err *err);

/* Everything added so far becomes durable and known to the index in memory. */
int packer_flush(struct packer *p, struct err *err);

#endif
