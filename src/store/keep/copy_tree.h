/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees copied to another repository, node by node. What a node becomes there depends on nothing but its content, so each is copied once,
 * however many times it stands in a tree: whoever has the key can make an image of petabytes of a few nodes. */
#ifndef STORE_KEEP_COPY_TREE_H
#define STORE_KEEP_COPY_TREE_H

#include "base/par.h"
#include "base/progress.h"
#include "store/handle/handle.h"

struct copy_tree;
/* All is borrowed; a session for writing is held in `to` until it is freed. */
int copy_tree_new(struct store *from, struct store *to, const struct par_cancel *cancel, struct copy_tree **ret, struct err *err);
void copy_tree_free(struct copy_tree *t); /* NULL is fine */

/* base: an image of `from` that base_copy, of `to`, is a copy of: branches that are the same are not even looked into. NULL: none. */
int copy_tree_image(struct copy_tree *t, const struct point_stream *image, const struct point_stream *base,
                    const struct point_stream *base_copy, struct progress_task *task, struct tree_root *ret, struct err *err);

#endif
