/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One new index out of many. */
#ifndef STORE_INDEX_INDEX_MERGE_H
#define STORE_INDEX_INDEX_MERGE_H

#include "store/index/index_set.h"

struct index_merge {
    struct env *env;
    struct index_set *set;           /* what is merged, and superseded (all that is `present`) */
    const struct index_entry *extra; /* sorted; goes before entries of the set with the same id */
    size_t extra_n;
    /* Whether an entry of the set is taken over. NULL: all are. */
    bool (*keep)(void *priv, const struct index_entry *e);
    void *priv;
    bool keep_old; /* the old files are not removed: the new ones are of an epoch that is not in force yet */
};
/* Writes the new files, the superseding one last, and then removes the old ones. A crash in between leaves a whole index. */
int index_merge(const struct index_merge *m, uint64_t *ret_entries, struct err *err);

/* Calls fn for each entry of the set, table by table. fn < 0 ends. */
int index_set_each(struct index_set *set, int (*fn)(void *priv, const struct index_entry *e, struct index_position at, struct err *err),
                   void *priv, struct err *err);
/* The packs that hold what the entries of the set tell of, each once, sorted; added to *ret, also as far as it got. */
int index_set_packs(struct index_set *set, struct names *ret, struct err *err);

#endif
