/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walking all nodes of a tree, for those who must see every chunk: verify, prune, check, copy. */
#ifndef STORE_TREE_WALK_H
#define STORE_TREE_WALK_H

#include "store/tree/tree.h"

struct walk {
    struct chunks *chunks;
    /* Before a node is read: 1 go into it, 0 pass over it, < 0 end the walk. NULL: always into. */
    int (*enter)(void *priv, const struct chunk_id *id, unsigned level, struct err *err);
    /* A leaf; its first chunk's number. < 0 ends the walk. */
    int (*leaf)(void *priv, const struct node *leaf, uint64_t first, struct err *err);
    /* A node that cannot be read (`why`): 0 go on without it, < 0 end the walk. NULL: the walk ends with it. */
    int (*bad)(void *priv, const struct chunk_id *id, const struct err *why, struct err *err);
    void *priv;
};

int walk_tree(const struct walk *w, const struct tree_root *root, struct err *err);

#endif
