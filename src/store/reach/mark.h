/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which entries of the index the points use: a bit per entry. */
#ifndef STORE_REACH_MARK_H
#define STORE_REACH_MARK_H

#include "store/index/index.h"
#include "store/handle/handle.h"

struct mark {
    struct store *store;
    struct index_set *set;
    uint64_t **used; /* per table, a bit per entry */
    uint64_t **node; /* of these, those that are tree nodes */
    const struct par_cancel *cancel;
    uint64_t chunks; /* entries marked */
    uint64_t points;
};

/* Bitmaps over the index as it stands now. */
int mark_new(struct store *s, const struct par_cancel *cancel, struct mark *ret, struct err *err);
void mark_free(struct mark *m);
#define _cleanup_mark_ _cleanup_(mark_free)
/* Forgets all marks. */
void mark_clear(struct mark *m);

/* Marks all that a tree uses; what is marked already is passed over. -EUCLEAN: a node is damaged or a chunk missing. */
int mark_tree(struct mark *m, const struct tree_root *root, struct err *err);
/* All streams of a point. */
int mark_point(struct mark *m, const struct point_data *d, struct err *err);
/* All streams of these points. A point that is gone is passed over. */
int mark_points(struct mark *m, const struct chunk_id *ids, size_t n, struct err *err);

static inline bool mark_is(uint64_t **bits, struct index_position at)
{
    return bits[at.table][at.entry / 64] >> at.entry % 64 & 1;
}

#endif
