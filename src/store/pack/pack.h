/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading packs. Everything returned has passed its tag; chunks have still to pass their ids (segment_chunk()). */
#ifndef STORE_PACK_PACK_H
#define STORE_PACK_PACK_H

#include "store/object/object.h"
#include "store/pack/segment.h"
#include <pthread.h>
#include <stdatomic.h>

/* Where a chunk lies. */
struct location {
    struct object_name pack;
    uint32_t off, len; /* of the segment's unit in the pack */
    uint32_t chunk_len;
    uint8_t ordinal;
};

/* An expanded segment, shared by its users. */
struct segment_data {
    atomic_uint refs;
    unsigned n;
    uint32_t off[SEGMENT_CHUNKS + 1];
    pthread_mutex_t lock; /* ids, verified */
    struct chunk_id *ids; /* of the chunks that were checked already */
    bool verified[SEGMENT_CHUNKS];
    uint8_t raw[];
};
void segment_unref(struct segment_data *s); /* NULL is fine */
DEFINE_CLEANUP(struct segment_data *, segment_unref)

/* -EUCLEAN damaged; -ENOENT the pack is gone. */
int pack_read_segment(struct env *env, const struct object_name *pack, uint32_t off, uint32_t len, struct segment_data **ret,
                      struct err *err);

/* A chunk or node that is wanted. */
struct chunk_ref {
    struct chunk_id id;
    enum crypt_kind kind;
};
/* Chunk `ordinal` of s, checked against what is wanted. -EUCLEAN: it is another. The bytes live as long as s. */
int segment_chunk(struct env *env, struct segment_data *s, unsigned ordinal, const struct chunk_ref *want, const uint8_t **ret,
                  size_t *ret_len, struct err *err);

/* Walks the segments that the pack's footer names. -EUCLEAN, -ENOENT, or what fn returned. */
int pack_walk(struct env *env, const struct object_name *pack, int (*fn)(void *priv, const struct footer_segment *s), void *priv,
              struct err *err);

/* The rest of what other folders see of this one. */
#include "store/pack/packs.h"
#include "store/pack/scan.h"

#endif
