/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/tree/tree.h"
#include <errno.h>
#include <string.h>

#define LEAVES_KEPT 2048 /* of 4 KiB each; covers 16 GiB of an image */

struct branch {
    struct node node;
    bool dirty; /* the id that the branch above has is out of date */
    uint64_t tick;
    struct branch *child[]; /* NODE_FANOUT of them, or none in a leaf; NULL: not loaded */
};

struct tree_writer {
    struct tree_out out;
    pthread_mutex_t lock;
    struct branch *root;
    size_t leaves;
    uint64_t tick;
};

static struct branch *branch_new(struct tree_writer *t, unsigned level)
{
    struct branch *b = calloc(1, sizeof *b + (level ? NODE_FANOUT * sizeof b->child[0] : 0));

    if (b) {
        b->node.level = level;
        t->leaves += level == 0;
    }
    return b;
}

static void branch_free(struct tree_writer *t, struct branch *b)
{
    if (!b)
        return;
    for (unsigned i = 0; b->node.level && i < NODE_FANOUT; i++)
        branch_free(t, b->child[i]);
    t->leaves -= b->node.level == 0;
    free(b);
}

int tree_node_get(struct chunks *c, const struct chunk_id *id, unsigned level, struct node *ret, struct err *err)
{
    _cleanup_view_ struct chunk_view v = { 0 };
    char hex[2 * CRYPT_ID_LEN + 1];
    int r = chunks_get(c, &(struct chunk_ref){ *id, CRYPT_NODE }, &v, err);

    if (r < 0)
        return r;
    return node_parse(v.p, v.n, level, ret) < 0
               ? err_set(err, EUCLEAN, "node %s is not at level %u", crypt_hex(id->b, sizeof id->b, hex), level)
               : 0;
}

/* The branch below slot i, loaded or made. */
static int descend(struct tree_writer *t, struct branch *b, unsigned i, struct branch **ret, struct err *err)
{
    if (!b->child[i]) {
        struct branch *child = branch_new(t, b->node.level - 1);
        if (!child)
            return err_nomem(err);
        if (node_has(&b->node, i)) {
            int r = tree_node_get(t->out.chunks, &b->node.slots[i], child->node.level, &child->node, err);
            if (r < 0) {
                branch_free(t, child);
                return r;
            }
        }
        b->child[i] = child;
    }
    *ret = b->child[i];
    return 0;
}

static int load_root(struct tree_writer *t, unsigned level, const struct tree_root *parent, struct err *err)
{
    unsigned top = parent && parent->present && parent->level > level ? parent->level : level;
    struct branch *b = t->root = branch_new(t, top);

    if (!b)
        return err_nomem(err);
    if (!parent || !parent->present)
        return 0;
    /* A smaller tree of a parent hangs below first slots. */
    for (; b->node.level > parent->level + 1; b = b->child[0]) {
        b->child[0] = branch_new(t, b->node.level - 1);
        if (!b->child[0])
            return err_nomem(err);
        b->dirty = true;
        node_mark(&b->node, 0);
    }
    if (b->node.level == parent->level)
        return tree_node_get(t->out.chunks, &parent->id, parent->level, &b->node, err);
    b->node.slots[0] = parent->id;
    b->dirty = true;
    node_mark(&b->node, 0);
    return 0;
}

int tree_writer_new(const struct tree_out *out, unsigned level, const struct tree_root *parent, struct tree_writer **ret, struct err *err)
{
    struct tree_writer *t = calloc(1, sizeof *t);

    if (!t)
        return err_nomem(err);
    t->out = *out;
    pthread_mutex_init(&t->lock, NULL);
    int r = load_root(t, level, parent, err);
    if (r < 0) {
        tree_writer_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void tree_writer_free(struct tree_writer *t)
{
    if (!t)
        return;
    branch_free(t, t->root);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- storing --------------------------------------------------------------------------------------------------------------*/

int tree_node_put(const struct tree_out *out, const struct node *n, struct chunk_id *ret, struct err *err)
{
    uint8_t bytes[NODE_BYTES_MAX];
    size_t len = node_encode(n, bytes);
    struct chunk_id id;
    int r = crypt_id(out->env->crypt, CRYPT_NODE, bytes, len, &id);

    if (r < 0)
        return err_errno(err, -r, "cannot store the map of an image");
    int claimed = index_claim(out->index, &id, err);
    r = claimed > 0 ? packer_add(out->meta, &id, bytes, len, err) : claimed;
    if (r < 0)
        return r;
    if (claimed > 0 && out->stored)
        *out->stored += len;
    *ret = id;
    return 0;
}

/* Stores the changed branch below slot i and lets it go if it is older than `before` (leaves) or if `all`. */
static int settle_child(struct tree_writer *t, struct branch *b, unsigned i, struct err *err)
{
    struct branch *child = b->child[i];

    if (node_empty(&child->node)) {
        b->dirty |= node_has(&b->node, i);
        node_unmark(&b->node, i);
        return 0;
    }
    if (!child->dirty)
        return 0;
    int r = tree_node_put(&t->out, &child->node, &b->node.slots[i], err);
    if (r < 0)
        return r;
    node_mark(&b->node, i);
    child->dirty = false;
    b->dirty = true;
    return 0;
}

/* Stores what changed below b, leaves last used before `before` only, and frees these. */
static int tree_write_settle(struct tree_writer *t, struct branch *b, uint64_t before, struct err *err)
{
    for (unsigned i = 0; b->node.level && i < NODE_FANOUT; i++) {
        struct branch *child = b->child[i];
        if (!child)
            continue;
        int r = tree_write_settle(t, child, before, err);
        bool leave = before != UINT64_MAX && (child->node.level > 0 || child->tick >= before);
        if (r == 0 && !leave)
            r = settle_child(t, b, i, err);
        if (r < 0)
            return r;
        if (!leave) {
            branch_free(t, child);
            b->child[i] = NULL;
        }
    }
    return 0;
}

/* Keeps memory bounded: the older half of the leaves goes to the store. They can be loaded again. */
static int write_make_room(struct tree_writer *t, struct err *err)
{
    if (t->leaves <= LEAVES_KEPT)
        return 0;
    return tree_write_settle(t, t->root, t->tick - LEAVES_KEPT / 2, err);
}

/* ---- changing -------------------------------------------------------------------------------------------------------------*/

static int leaf_of(struct tree_writer *t, uint64_t chunk, bool change, struct branch **ret, struct err *err)
{
    struct branch *b = t->root;
    struct branch *path[NODE_LEVEL_MAX + 1];
    unsigned depth = 0;

    while (b->node.level > 0) {
        unsigned slot = node_slot(b->node.level, chunk);
        path[depth++] = b;
        if (!change && !b->child[slot] && !node_has(&b->node, slot)) {
            *ret = NULL;
            return 0;
        }
        int r = descend(t, b, slot, &b, err);
        if (r < 0)
            return r;
    }
    if (b->tick != t->tick)
        b->tick = ++t->tick;
    for (unsigned i = 0; change && i < depth; i++) {
        path[i]->dirty = true;
        node_mark(&path[i]->node, node_slot(path[i]->node.level, chunk));
    }
    *ret = b;
    return 0;
}

int tree_set(struct tree_writer *t, uint64_t chunk, const struct chunk_id *id, struct err *err)
{
    struct branch *leaf = NULL;

    SCOPED_LOCK(&t->lock);
    int r = write_make_room(t, err);
    if (r == 0)
        r = leaf_of(t, chunk, id != NULL, &leaf, err);
    if (r < 0 || !leaf)
        return r;
    unsigned slot = node_slot(0, chunk);
    if (id) {
        leaf->node.slots[slot] = *id;
        node_mark(&leaf->node, slot);
        leaf->dirty = true;
    } else if (node_has(&leaf->node, slot)) {
        /* Mark the way down as changed as well. */
        r = leaf_of(t, chunk, true, &leaf, err);
        node_unmark(&leaf->node, slot);
        leaf->dirty = true;
    }
    return r;
}

int tree_get(struct tree_writer *t, uint64_t chunk, struct chunk_id *ret, struct err *err)
{
    struct branch *leaf = NULL;

    SCOPED_LOCK(&t->lock);
    int r = leaf_of(t, chunk, false, &leaf, err);
    if (r < 0 || !leaf || !node_has(&leaf->node, node_slot(0, chunk)))
        return r;
    *ret = leaf->node.slots[node_slot(0, chunk)];
    return 1;
}

/* Clears [from, to), given relative to the first chunk below b. */
static int write_clear(struct tree_writer *t, struct branch *b, uint64_t from, uint64_t to, struct err *err)
{
    uint64_t span = node_span(b->node.level);

    for (uint64_t i = from / span; i < NODE_FANOUT && i * span < to; i++) {
        uint64_t start = i * span, a = from > start ? from - start : 0, z = to - start < span ? to - start : span;
        struct branch *child = b->node.level ? b->child[i] : NULL;
        if (!child && !node_has(&b->node, (unsigned)i))
            continue;
        b->dirty = true;
        if (a == 0 && z == span) {
            branch_free(t, child);
            if (child)
                b->child[i] = NULL;
            node_unmark(&b->node, (unsigned)i);
            continue;
        }
        int r = descend(t, b, (unsigned)i, &child, err);
        if (r == 0)
            r = write_clear(t, child, a, z, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int tree_clear(struct tree_writer *t, uint64_t from, uint64_t to, struct err *err)
{
    SCOPED_LOCK(&t->lock);
    return from < to ? write_clear(t, t->root, from, to, err) : 0;
}

int tree_end(struct tree_writer *t, unsigned level, struct tree_root *ret, struct err *err)
{
    struct tree_root root = { .level = level };

    SCOPED_LOCK(&t->lock);
    while (t->root->node.level > level) {
        struct branch *top = t->root, *below = NULL;
        int r = descend(t, top, 0, &below, err);
        if (r < 0)
            return r;
        top->child[0] = NULL;
        below->dirty = true;
        t->root = below;
        branch_free(t, top);
    }
    int r = tree_write_settle(t, t->root, UINT64_MAX, err);
    if (r == 0 && !node_empty(&t->root->node)) {
        root.present = true;
        r = tree_node_put(&t->out, &t->root->node, &root.id, err);
    }
    if (r == 0)
        *ret = root;
    return r;
}
