/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of a tree is not holes. Branches are counted once, however many trees share them. */
#ifndef STORE_TREE_DATA_COUNT_H
#define STORE_TREE_DATA_COUNT_H

#include "store/tree/tree.h"

struct data_count;
int data_count_new(struct chunks *c, struct data_count **ret, struct err *err);
void data_count_free(struct data_count *d); /* NULL is fine */
/* Adds to *bytes; in whole chunks. */
int data_count_tree(struct data_count *d, const struct tree_root *root, uint64_t *bytes, struct err *err);

#endif
