/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_GARBAGE_SET_ASIDE_H
#define STORE_GARBAGE_SET_ASIDE_H

#include "store/index/index.h"
#include <errno.h>
#include <pthread.h>

#define SET_ASIDE_CHUNKS_MAX ((size_t)1 << 21) /* so many are remembered: 128 GiB of disks */

struct set_aside {
    pthread_mutex_t lock;
    struct fresh found;
    struct names walked; /* packs whose chunks are in `found` */
    uint64_t next_ms;    /* when packs are looked for again, by clock_mono_ms() */
    bool full;           /* SET_ASIDE_CHUNKS_MAX is reached */
};

/* Whether a chunk that the index does not have is in a pack that no index file names; ret may be NULL. Looks for such packs the first time,
 * and again when some time has passed. Thread-safe. */
bool set_aside_find(struct set_aside *s, struct env *env, struct index *ix, const struct chunk_id *id, struct location *ret);
/* The next one that is not found makes packs be looked for again, however lately that was done. */
void set_aside_look_again(struct set_aside *s);
void set_aside_free(struct set_aside *s);

#endif
