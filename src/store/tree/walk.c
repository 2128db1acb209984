/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/tree/walk.h"
#include <errno.h>

/* Depth is bounded by the level, which each node's parser checks. */
static int walk_node(const struct walk *w, const struct chunk_id *id, unsigned level, uint64_t first, struct err *err)
{
    struct err why = ERR_INIT;
    int r = w->enter ? w->enter(w->priv, id, level, err) : 1;

    if (r <= 0)
        return r;
    _cleanup_free_ struct node *n = malloc(sizeof *n);
    if (!n)
        return err_nomem(err);
    r = tree_node_get(w->chunks, id, level, n, &why);
    if (r == -EUCLEAN && w->bad)
        return w->bad(w->priv, id, &why, err);
    if (r < 0)
        return err_move(err, &why);
    if (level == 0)
        return w->leaf(w->priv, n, first, err);
    for (unsigned i = 0; r == 0 && i < NODE_FANOUT; i++)
        if (node_has(n, i))
            r = walk_node(w, &n->slots[i], level - 1, first + i * node_span(level), err);
    return r;
}

int walk_tree(const struct walk *w, const struct tree_root *root, struct err *err)
{
    return root->present ? walk_node(w, &root->id, root->level, 0, err) : 0;
}
