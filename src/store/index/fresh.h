/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks that this process has claimed and that no index file tells of yet: a hash table by id. Not thread-safe. */
#ifndef STORE_INDEX_FRESH_H
#define STORE_INDEX_FRESH_H

#include "store/index/index_table.h"

struct fresh {
    struct index_entry *entries; /* at.chunk_len == 0: claimed, not durable yet */
    size_t count, cap;
    uint32_t *slots; /* entry number + 1, or 0; a power of two of them */
    size_t slots_n;
    size_t durable;
};

void fresh_free(struct fresh *f);
struct index_entry *fresh_find(struct fresh *f, const struct chunk_id *id);
/* 1 added, 0 was there, -ENOMEM. */
int fresh_add(struct fresh *f, const struct chunk_id *id);
/* Removes the entries of a list that is sorted by id. */
void fresh_drop(struct fresh *f, const struct index_entry *list, size_t n);

#endif
