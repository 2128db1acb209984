/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/tree/data_count.h"
#include "store/index/index.h"
#include <errno.h>

struct data_count {
    struct chunks *chunks;
    struct fresh seen; /* nodes; which entry it is also numbers `below` */
    uint64_t *below;   /* chunks below the node */
    size_t cap;
};

int data_count_new(struct chunks *c, struct data_count **ret, struct err *err)
{
    struct data_count *d = calloc(1, sizeof *d);

    if (!d)
        return err_nomem(err);
    d->chunks = c;
    *ret = d;
    return 0;
}

void data_count_free(struct data_count *d)
{
    if (!d)
        return;
    fresh_free(&d->seen);
    free(d->below);
    free(d);
}

static int count_remember(struct data_count *d, const struct chunk_id *id, uint64_t chunks)
{
    if (fresh_add(&d->seen, id) < 0)
        return -ENOMEM;
    if (d->seen.cap > d->cap) {
        uint64_t *below = reallocarray(d->below, d->seen.cap, sizeof *below);
        if (!below)
            return -ENOMEM;
        d->below = below;
        d->cap = d->seen.cap;
    }
    d->below[d->seen.count - 1] = chunks;
    return 0;
}

static int count_count(struct data_count *d, const struct chunk_id *id, unsigned level, uint64_t *chunks, struct err *err)
{
    const struct index_entry *e = fresh_find(&d->seen, id);
    uint64_t sum = 0;

    if (e) {
        *chunks += d->below[e - d->seen.entries];
        return 0;
    }
    _cleanup_free_ struct node *n = malloc(sizeof *n);
    if (!n)
        return err_nomem(err);
    int r = tree_node_get(d->chunks, id, level, n, err);
    for (unsigned i = 0; r == 0 && level && i < NODE_FANOUT; i++)
        if (node_has(n, i))
            r = count_count(d, &n->slots[i], level - 1, &sum, err);
    if (r < 0)
        return r;
    if (level == 0)
        sum = (uint64_t)(__builtin_popcountll(n->set[0]) + __builtin_popcountll(n->set[1]));
    *chunks += sum;
    return count_remember(d, id, sum) < 0 ? err_nomem(err) : 0;
}

int data_count_tree(struct data_count *d, const struct tree_root *root, uint64_t *bytes, struct err *err)
{
    uint64_t chunks = 0;
    int r = root->present ? count_count(d, &root->id, root->level, &chunks, err) : 0;

    if (r == 0)
        *bytes += chunks * CHUNK_SIZE;
    return r;
}
