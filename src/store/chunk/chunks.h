/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks and nodes by id, verified. Expanded segments are kept for a while; two readers of one segment expand it once. */
#ifndef STORE_CHUNK_CHUNKS_H
#define STORE_CHUNK_CHUNKS_H

#include "store/chunk/chunk.h"
#include "store/chunk/packer.h"

struct chunks;
/* packer: whose claimed chunks may be asked for as well (it is flushed then); NULL: none. Borrowed, as env and ix are. */
int chunks_new(struct env *env, struct index *ix, struct packer *packer, struct chunks **ret, struct err *err);
void chunks_free(struct chunks *c);

struct chunk_view {
    struct segment_data *segment;
    const uint8_t *p;
    size_t n;
};
static inline void chunk_view_end(struct chunk_view *v)
{
    segment_unref(v->segment);
    v->segment = NULL;
}
#define _cleanup_view_ _cleanup_(chunk_view_end)

/* The next chunk that is not found makes the index be read again, however lately that was done: to be called when a restore point is
 * opened, which may just have been made. */
void chunks_look_again(struct chunks *c);
/* Whether a chunk that the index does not have can be read all the same, as it is in a pack that no index file names (set_aside.h). */
bool chunks_set_aside(struct chunks *c, const struct chunk_id *id);
/* -EUCLEAN: missing or damaged. End the view with chunk_view_end(). */
int chunks_get(struct chunks *c, const struct chunk_ref *want, struct chunk_view *ret, struct err *err);

/* The rest of what other folders see of this one. */
#include "store/chunk/chunk.h"

#endif
