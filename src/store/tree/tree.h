/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees of chunk ids: changing one (in memory, written when ended) and reading one. docs/format.md, "Trees". */
#ifndef STORE_TREE_TREE_H
#define STORE_TREE_TREE_H

#include "store/chunk/chunks.h"
#include "store/tree/node.h"

/* Where a tree begins. */
struct tree_root {
    bool present; /* false: all holes */
    unsigned level;
    struct chunk_id id;
};

/* ---- Writing. Thread-safe. */
struct tree_writer;
/* Where nodes go. All is borrowed. */
struct tree_out {
    struct chunks *chunks;
    struct index *index;
    struct env *env;
    struct packer_stream *meta;
    uint64_t *stored; /* NULL, or: bytes of new nodes are added (under the tree's lock) */
};
/* parent NULL: all holes. The tree covers at least what a root of `level` covers. */
int tree_writer_new(const struct tree_out *out, unsigned level, const struct tree_root *parent, struct tree_writer **ret, struct err *err);
void tree_writer_free(struct tree_writer *t);
/* id NULL: a hole. */
int tree_set(struct tree_writer *t, uint64_t chunk, const struct chunk_id *id, struct err *err);
/* 1 and *ret, or 0: a hole. */
int tree_get(struct tree_writer *t, uint64_t chunk, struct chunk_id *ret, struct err *err);
/* Makes [from, to) holes, whole branches at a time. */
int tree_clear(struct tree_writer *t, uint64_t from, uint64_t to, struct err *err);
/* Hands all changed nodes to the packer. The tree is cut down to `level` (what is beyond must have been cleared). */
int tree_end(struct tree_writer *t, unsigned level, struct tree_root *ret, struct err *err);

/* Stores a node that is not empty, unless it is there. One thread at a time for each `out`. */
int tree_node_put(const struct tree_out *out, const struct node *n, struct chunk_id *ret, struct err *err);
/* Reads and checks one node. */
int tree_node_get(struct chunks *c, const struct chunk_id *id, unsigned level, struct node *ret, struct err *err);

/* ---- Reading. Thread-safe. Nodes on the way are kept. */
struct tree_reader;
int tree_reader_new(struct chunks *c, const struct tree_root *root, struct tree_reader **ret, struct err *err);
void tree_reader_free(struct tree_reader *t);
/* 1 and *ret (an id), or 0: a hole. *ret_span (may be NULL): chunks from `chunk` on that are known to be holes as well
 * (at least 1); only for holes. */
int tree_read(struct tree_reader *t, uint64_t chunk, struct chunk_id *ret, uint64_t *ret_span, struct err *err);

/* The rest of what other folders see of this one. */
#include "store/tree/data_count.h"
#include "store/tree/walk.h"

#endif
