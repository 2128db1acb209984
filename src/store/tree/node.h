/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tree nodes as bytes. docs/format.md, "Trees". Pure. */
#ifndef STORE_TREE_NODE_H
#define STORE_TREE_NODE_H

#include "store/object/object.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_LEVEL_MAX 6
#define NODE_HEAD 20
#define NODE_BYTES_MAX (NODE_HEAD + NODE_FANOUT * CRYPT_ID_LEN)

struct node {
    unsigned level;
    uint64_t set[NODE_FANOUT / 64]; /* which slots are not holes */
    struct chunk_id slots[NODE_FANOUT];
};

static inline bool node_has(const struct node *n, unsigned slot)
{
    return n->set[slot / 64] >> slot % 64 & 1;
}
static inline void node_mark(struct node *n, unsigned slot)
{
    n->set[slot / 64] |= 1ULL << slot % 64;
}
static inline void node_unmark(struct node *n, unsigned slot)
{
    n->set[slot / 64] &= ~(1ULL << slot % 64);
}
static inline bool node_empty(const struct node *n)
{
    return !n->set[0] && !n->set[1];
}

/* Chunks below one slot of a node of that level. */
static inline uint64_t node_span(unsigned level)
{
    return 1ULL << 7 * level;
}
static inline unsigned node_slot(unsigned level, uint64_t chunk)
{
    return chunk >> 7 * level & (NODE_FANOUT - 1);
}
/* The least level whose root covers that many chunks; beyond NODE_LEVEL_MAX: -EFBIG. */
int node_level_for(uint64_t chunks);

/* Bytes written to out (NODE_BYTES_MAX). The node must not be empty. */
size_t node_encode(const struct node *n, uint8_t *out);
/* -EBADMSG: not a node of that level. */
int node_parse(const uint8_t *p, size_t n, unsigned level, struct node *ret);

#endif
