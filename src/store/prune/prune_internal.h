/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_PRUNE_PRUNE_INTERNAL_H
#define STORE_PRUNE_PRUNE_INTERNAL_H

#include "store/garbage/garbage.h"
#include "store/reach/reach.h"

enum pack_plan { PLAN_KEEP, PLAN_DROP, PLAN_REPACK, PLAN_MEND };

struct pack_use {
    struct object_name name;
    uint64_t raw, used; /* bytes of its chunks as the index tells them, and of these in use */
    uint64_t size;      /* of the object */
    bool indexed, damaged;
    enum pack_plan plan;
};

struct pruning {
    struct store *store;
    const struct store_prune *options;
    struct lock_session *session; /* NULL: a dry run */
    struct chunk_id *points;
    size_t points_n;
    struct mark mark;
    struct pack_use *packs; /* sorted by name */
    size_t packs_n;
    struct garbage garbage;
    struct store_prune_result result;
};

struct pack_use *prune_pack(const struct pruning *p, const struct object_name *name);

/* What there is and what is used: fills points, mark, packs. -EUCLEAN: damage, nothing may be removed. */
int prune_survey(struct pruning *p, struct err *err);
/* Of the pack's bytes, the share that its chunks in use have. */
uint64_t prune_used_bytes(const struct pack_use *u);
/* Decides about each pack. */
void prune_plan(struct pruning *p);
/* Copies what is used of the packs to be repacked into new ones; a damaged pack is kept instead. */
int prune_repack(struct pruning *p, struct err *err);
/* Looks for packs that are damaged, as far as the options say. Before prune_plan(). */
int prune_find_damaged(struct pruning *p, struct err *err);
/* Copies what is used of damaged packs, from wherever it can be read, into new ones; a pack with something that can be read nowhere
 * is kept. */
int prune_mend(struct pruning *p, struct err *err);
/* Makes the index that no longer names dropped and repacked packs. */
int prune_publish(struct pruning *p, struct err *err);
/* Deletes the packs that nobody can count on any more; records the others. */
int prune_collect(struct pruning *p, struct err *err);
/* Of a dry run: counts what prune_collect() would delete now and what it would leave for later. Nothing is changed. */
int prune_foresee(struct pruning *p, struct err *err);

#endif
