/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a rotation of the master key leaves for later readers: the master keys before the one in force, and which restore points there
 * were, for whoever has an older master key could make others. docs/format.md, "Rotation". */
#ifndef STORE_OBJECT_RING_H
#define STORE_OBJECT_RING_H

#include "store/object/env.h"
#include <stdatomic.h>

#define RING_MAGIC "KVSSRING"
#define RING_POINTS_MAX ((size_t)1 << 20)
#define RING_PACKS 1024 /* how many packs' epochs are kept in memory; a power of two */

struct ring {
    struct chunk_id *points; /* sorted */
    size_t n;
    _Atomic uint64_t packs[RING_PACKS]; /* 6 bytes of a pack's name, and its epoch + 1 */
};

/* What goes into one. Borrowed. */
struct ring_content {
    const uint8_t *masters; /* `epoch` of them, the oldest first */
    unsigned epoch;
    struct chunk_id *points; /* sorted on the way */
    size_t n;
};
/* Puts the object, sealed for the master key of `crypt`, which is a new one (without older ones). *ret_name: by which config names it. */
int ring_put(struct env *env, struct crypt *crypt, const struct ring_content *content, struct chunk_id *ret_name, struct err *err);
/* Reads it with env->crypt, which gets the older master keys, and sets env->ring. -EUCLEAN: damaged, lost, or not what config names. */
int ring_load(struct env *env, const struct chunk_id *name, unsigned epoch, struct err *err);
void ring_free(struct ring *ring); /* NULL is fine */
/* Payload from bytes. Pure. *ret_masters points into p. -EBADMSG, -ENOMEM. */
int ring_parse(const uint8_t *p, size_t n, unsigned epoch, struct ring **ret, const uint8_t **ret_masters);

/* Whether a restore point of an older epoch was there at the rotation. */
bool ring_has_point(const struct ring *ring, const struct chunk_id *id);

/* The epoch of a pack: what its header says, which is read once. 0 at once where there is one epoch only. */
int ring_pack_epoch(struct env *env, const struct object_name *pack, unsigned *ret, struct err *err);

#endif
