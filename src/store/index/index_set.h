/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The index files in force, as one immutable, shared list. */
#ifndef STORE_INDEX_INDEX_SET_H
#define STORE_INDEX_INDEX_SET_H

#include "base/num.h"
#include "store/index/index_table.h"
#include "store/pack/pack.h"

struct index;

struct index_set {
    atomic_uint refs;
    size_t n;
    struct index_table **tables;
    struct object_name *present; /* all index files that were there when it was loaded, in force or superseded */
    size_t present_n;
    struct lost_packs *lost; /* nothing is found in these; NULL: none, or nobody has looked */
};

int index_set_new(struct index_set **ret, struct err *err);
struct index_set *index_set_ref(struct index_set *set);
void index_set_unref(struct index_set *set); /* NULL is fine */
DEFINE_CLEANUP(struct index_set *, index_set_unref)

/* Reads the list of the repository; files that `old` has open are taken over. See index_reload(). */
int index_set_load(struct env *env, atomic_size_t *budget, struct index_set *old, struct index_set **ret, size_t *ret_bad, struct err *err);
int index_set_copy(struct index_set *set, struct index_set **ret, struct err *err);
int index_set_add(struct index_set *set, struct env *env, const struct object_name *name, atomic_size_t *budget, struct err *err);
/* The same of an index file that is in memory alone; its bytes are taken over. */
int index_set_add_file(struct index_set *set, struct env *env, struct index_file *file, atomic_size_t *budget, struct err *err);

/* Finds out which packs that the set names are lost; `there`: those that were listed, others are asked for. Of a set that is not shared
 * yet. */
int index_set_look(struct index_set *set, struct env *env, const struct packs *there, struct err *err);

/* unnamed.c: the packs that the set does not name. */
int index_set_unnamed(const struct index_set *set, struct env *env, struct names *ret, struct err *err);

/* Where an entry stands, for bitmaps over all entries. */
struct index_position {
    size_t table;
    uint64_t entry;
};
/* 1, 0 or -errno. Both results may be NULL. A chunk may be in several tables: what lies in a lost pack is passed over. */
int index_set_find(struct index_set *set, const struct chunk_id *id, struct location *ret, struct index_position *ret_at, struct err *err);

/* The next place of the chunk after the first `*seen` that the tables tell, whatever has become of its pack; counts on. 1, 0 or -errno. */
int index_set_find_next(struct index_set *set, const struct chunk_id *id, size_t *seen, struct location *ret, struct err *err);

/* The set in force; unref it. */
struct index_set *index_set_get(struct index *ix);

#endif
