/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a tree. The nodes met last are kept, by level and place, so that a walk in order reads each node once. */
#include "store/tree/tree.h"
#include <errno.h>
#include <string.h>

#define KEPT 16 /* per level; nodes of 4 KiB */

struct read_kept {
    bool used;
    uint64_t place; /* first chunk below the node, in units of what the node covers */
    struct node node;
};

struct tree_reader {
    struct chunks *chunks;
    struct tree_root root;
    pthread_mutex_t lock;
    struct read_kept *kept[NODE_LEVEL_MAX + 1]; /* KEPT each, made at the first use */
};

int tree_reader_new(struct chunks *c, const struct tree_root *root, struct tree_reader **ret, struct err *err)
{
    struct tree_reader *t = calloc(1, sizeof *t);

    if (!t)
        return err_nomem(err);
    t->chunks = c;
    t->root = *root;
    pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return 0;
}

void tree_reader_free(struct tree_reader *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i <= NODE_LEVEL_MAX; i++)
        free(t->kept[i]);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Slot of the node of `level` above `chunk`, if that node is kept: 1 set, 0 hole, -EAGAIN not kept. */
static int kept_slot(struct tree_reader *t, unsigned level, uint64_t chunk, struct chunk_id *ret)
{
    uint64_t place = chunk / node_span(level) / NODE_FANOUT;
    unsigned slot = node_slot(level, chunk);

    SCOPED_LOCK(&t->lock);
    const struct read_kept *k = t->kept[level] ? &t->kept[level][place % KEPT] : NULL;
    if (!k || !k->used || k->place != place)
        return -EAGAIN;
    *ret = k->node.slots[slot];
    return node_has(&k->node, slot);
}

static int tree_read_keep(struct tree_reader *t, unsigned level, uint64_t chunk, const struct chunk_id *id, struct err *err)
{
    uint64_t place = chunk / node_span(level) / NODE_FANOUT;
    struct node node;
    int r = tree_node_get(t->chunks, id, level, &node, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&t->lock);
    if (!t->kept[level])
        t->kept[level] = calloc(KEPT, sizeof *t->kept[level]);
    if (!t->kept[level])
        return err_nomem(err);
    t->kept[level][place % KEPT] = (struct read_kept){ true, place, node };
    return 0;
}

int tree_read(struct tree_reader *t, uint64_t chunk, struct chunk_id *ret, uint64_t *ret_span, struct err *err)
{
    struct chunk_id id = t->root.id;

    if (!t->root.present || chunk / node_span(t->root.level) >= NODE_FANOUT) {
        if (ret_span)
            *ret_span = UINT64_MAX - chunk;
        return 0;
    }
    for (unsigned level = t->root.level;; level--) {
        struct chunk_id below;
        int r;
        while ((r = kept_slot(t, level, chunk, &below)) == -EAGAIN) {
            r = tree_read_keep(t, level, chunk, &id, err);
            if (r < 0)
                return r;
        }
        if (r == 0) {
            if (ret_span)
                *ret_span = node_span(level) - chunk % node_span(level);
            return 0;
        }
        if (level == 0) {
            *ret = below;
            return 1;
        }
        id = below;
    }
}
