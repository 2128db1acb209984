/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which packs there are and how long each is, and which of those that the index names are lost: not there, or cut short. */
#ifndef STORE_PACK_PACKS_H
#define STORE_PACK_PACKS_H

#include "store/object/object.h"
#include "store/pack/pack.h"
#include <stdatomic.h>

struct pack_size {
    struct object_name name;
    uint64_t size;
};
struct packs {
    struct pack_size *list; /* sorted */
    size_t n;
};
/* Lists the packs of the repository. */
int packs_list(struct env *env, struct packs *ret, struct err *err);
void packs_free(struct packs *p);
const struct pack_size *packs_find(const struct pack_size *list, size_t n, const struct object_name *name); /* NULL: not in it */

/* The lost ones, with the size that they still have (0: not there). Immutable and shared; NULL is as good as empty. */
struct lost_packs {
    atomic_uint refs;
    struct packs packs;
};
struct lost_packs *lost_packs_ref(struct lost_packs *l);
void lost_packs_unref(struct lost_packs *l);
DEFINE_CLEANUP(struct lost_packs *, lost_packs_unref)
/* Whether what lies there cannot be read, because the pack is lost. */
bool lost_packs_has(const struct lost_packs *l, const struct location *at);
/* Whether the pack is lost, even if that place may still be read. */
bool lost_packs_names(const struct lost_packs *l, const struct object_name *pack);

#endif
