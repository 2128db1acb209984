/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where each chunk is: sorted tables in the repository (one block read per lookup, a fence per 85 chunks in memory), and a
 * table in memory of the chunks written since. docs/format.md, "Index". Thread-safe. */
#ifndef STORE_INDEX_INDEX_H
#define STORE_INDEX_INDEX_H

#include "store/object/object.h"
#include "store/pack/pack.h"

struct index;
struct index_entry;

int index_new(struct env *env, struct index **ret, struct err *err);
void index_free(struct index *ix); /* NULL is fine */

/* Reads the list of index files again: new ones are opened, vanished and superseded ones dropped. A damaged one is left out,
 * logged and counted in *ret_bad (may be NULL); its chunks are then not found. */
int index_reload(struct index *ix, size_t *ret_bad, struct err *err);

/* Lists the packs, and passes over what lies in lost ones from now on, also after reloads. To be called where something is written that
 * counts on what the index tells, before index_reload(). */
int index_look(struct index *ix, struct err *err);
/* Chunks that were claimed because all places where the index has them are lost. */
uint64_t index_claimed_again(struct index *ix);

/* How many times, as far as reloads have shown, the index was replaced by another (by a prune or repair). */
unsigned index_merges(struct index *ix);

/* 1 found, 0 not in the repository, -EINPROGRESS claimed but not durable yet, or -errno. ret may be NULL. */
int index_find(struct index *ix, const struct chunk_id *id, struct location *ret, struct err *err);

/* For whoever could not read a chunk where index_find() said: its next place in the index files, after *seen others (0 at first). */
int index_find_next(struct index *ix, const struct chunk_id *id, size_t *seen, struct location *ret, struct err *err);

/* 1: the chunk is new, and the caller must hand it to the packer; 0: it is there or on its way. */
int index_claim(struct index *ix, const struct chunk_id *id, struct err *err);
/* A pack is durable: its footer (plaintext) tells what it holds. */
int index_add_pack(struct index *ix, const struct object_name *pack, const struct buf *footer);
/* Entries of durable packs that no index file has yet. */
size_t index_unsaved(struct index *ix);
/* Writes them into index files, durably. */
int index_save(struct index *ix, struct err *err);
/* Takes them for saved until the next reload, and writes nothing: for whoever only wants to know what would be. */
int index_suppose(struct index *ix, struct err *err);

/* The entries of durable packs that no index file has yet, sorted; for a merge that writes them. Caller frees. */
int index_unsaved_list(struct index *ix, struct index_entry **ret, size_t *ret_n, struct err *err);
/* These are in index files now, and the index has been reloaded. */
void index_saved(struct index *ix, const struct index_entry *list, size_t n);
/* Forgets all chunks of this process that no index file has. Nothing may be under way. */
void index_forget_unsaved(struct index *ix);

/* The rest of what other folders see of this one. */
#include "store/index/fresh.h"
#include "store/index/index_merge.h"
#include "store/index/index_set.h"

#endif
