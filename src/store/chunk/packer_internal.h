/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_CHUNK_PACKER_INTERNAL_H
#define STORE_CHUNK_PACKER_INTERNAL_H

#include "store/chunk/packer.h"
#include "store/pack/pack.h"

#define PACK_TARGET ((size_t)16 << 20)
#define PACKS_ALIVE 4 /* filling, one of each kind, and being written */
#define PACK_WRITERS 2
#define INDEX_SAVE_AT ((size_t)1 << 17)

_Static_assert(SEGMENT_TARGET <= SEGMENT_RAW_MAX, "readers take no larger segments");

struct segment {
    struct pool_job job;
    struct segment *next_spare;
    struct packer_stream *stream;
    unsigned n;
    uint32_t raw;
    uint32_t len[SEGMENT_CHUNKS];
    struct chunk_id id[SEGMENT_CHUNKS];
    uint8_t data[SEGMENT_TARGET];
    uint8_t *sealed; /* room for its unit, compressed */
};

struct pack {
    struct pack *next;
    struct object_name name;
    struct crypt_object key;
    uint8_t *bytes; /* PACK_TARGET */
    size_t len;
    struct buf footer;
    uint32_t segments;
    unsigned filling; /* workers that are sealing into it */
    bool closed;
};

struct packer {
    struct env *env;
    struct index *index;
    pthread_mutex_t streams_lock; /* streams; taken before any other lock of the packer */
    struct packer_stream *streams;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    uint64_t changes; /* counts the signals of `changed` */
    struct pack *current[PACK_KINDS];
    struct pack *full, *full_last; /* closed, to be written */
    uint8_t *spare[PACKS_ALIVE];   /* buffers for reuse: fresh memory costs page faults */
    size_t spares;
    struct segment *spare_segments;
    unsigned alive;     /* packs in memory */
    unsigned under_way; /* segments handed to the pool */
    unsigned under_way_max;
    unsigned flushing;
    bool stop;
    struct err failed; /* code != 0: given up */
    unsigned writers;
    pthread_t writer[PACK_WRITERS];
};

/* Something that others wait for has changed. With the lock held. */
static inline void packer_changed(struct packer *p)
{
    p->changes++;
    pthread_cond_broadcast(&p->changed);
}

/* Room for a unit of n bytes in the current pack of that kind; blocks while too many packs are in memory. On success the pack
 * must be given back with pack_filled(). */
int pack_reserve(struct packer *p, enum pack_kind kind, const struct segment *g, size_t n, struct pack **ret, uint32_t *ret_off);
void pack_filled(struct packer *p, struct pack *k);
/* Closes the current packs; with the lock held. */
void pack_close_all(struct packer *p);
void pack_free(struct packer *p, struct pack *k);
void *pack_writer(void *packer);
void packer_fail(struct packer *p, const struct err *err);

#endif
