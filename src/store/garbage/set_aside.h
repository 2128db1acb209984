/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_GARBAGE_SET_ASIDE_H
#define STORE_GARBAGE_SET_ASIDE_H

#include "store/index/index.h"
#include <errno.h>
#include <pthread.h>

#define SET_ASIDE_CHUNKS_MAX ((size_t)1 << 21) /* so many are remembered: 128 GiB of data */

struct set_aside {
    pthread_mutex_t lock;
    struct fresh found;
    bool looked;
};

/* Whether a chunk that the index does not have is in a pack that a prune has set aside; ret may be NULL. Looks at these packs the first
 * time. Thread-safe. */
bool set_aside_find(struct set_aside *s, struct env *env, const struct chunk_id *id, struct location *ret);
/* The next one that is not found makes the records be read again. */
void set_aside_look_again(struct set_aside *s);
void set_aside_free(struct set_aside *s);

#endif
