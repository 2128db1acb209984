/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/reach/mark.h"
#include "store/tree/tree.h"
#include <errno.h>
#include <string.h>

static size_t words(const struct index_table *t)
{
    return (size_t)num_div_up(t->top.entries, 64) + 1;
}

static uint64_t **bitmaps_new(const struct index_set *set)
{
    uint64_t **bits = calloc(set->n + 1, sizeof *bits);

    for (size_t i = 0; bits && i < set->n; i++) {
        bits[i] = calloc(words(set->tables[i]), sizeof **bits);
        if (bits[i])
            continue;
        while (i)
            free(bits[--i]);
        free(TAKE_PTR(bits));
    }
    return bits;
}

static void bitmaps_free(uint64_t **bits, const struct index_set *set)
{
    for (size_t i = 0; bits && i < set->n; i++)
        free(bits[i]);
    free(bits);
}

int mark_new(struct store *s, const struct par_cancel *cancel, struct mark *ret, struct err *err)
{
    struct mark m = { .store = s, .set = index_set_get(s->index), .cancel = cancel };

    m.used = bitmaps_new(m.set);
    m.node = bitmaps_new(m.set);
    if (!m.used || !m.node) {
        mark_free(&m);
        return err_nomem(err);
    }
    *ret = m;
    return 0;
}

void mark_free(struct mark *m)
{
    if (!m->set)
        return;
    bitmaps_free(m->used, m->set);
    bitmaps_free(m->node, m->set);
    index_set_unref(m->set);
    *m = (struct mark){ 0 };
}

void mark_clear(struct mark *m)
{
    for (size_t i = 0; i < m->set->n; i++) {
        memset(m->used[i], 0, words(m->set->tables[i]) * 8);
        memset(m->node[i], 0, words(m->set->tables[i]) * 8);
    }
    m->chunks = 0;
}

/* 1 marked now, 0 was marked. */
static int mark_id(struct mark *m, const struct chunk_id *id, bool node, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];
    struct index_position at;
    int r = index_set_find(m->set, id, NULL, &at, err);

    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, EUCLEAN, "chunk %s is missing from the index", crypt_hex(id->b, sizeof id->b, hex));
    if (mark_is(m->used, at))
        return 0;
    m->used[at.table][at.entry / 64] |= 1ULL << at.entry % 64;
    if (node)
        m->node[at.table][at.entry / 64] |= 1ULL << at.entry % 64;
    m->chunks++;
    return 1;
}

static int mark_enter(void *priv, const struct chunk_id *id, unsigned level, struct err *err)
{
    struct mark *m = priv;

    (void)level;
    if (par_cancelled(m->cancel))
        return err_set(err, ECANCELED, "cancelled");
    return mark_id(m, id, true, err);
}

static int mark_leaf(void *priv, const struct node *n, uint64_t first, struct err *err)
{
    (void)first;
    for (unsigned i = 0; i < NODE_FANOUT; i++) {
        if (!node_has(n, i))
            continue;
        int r = mark_id(priv, &n->slots[i], false, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int mark_tree(struct mark *m, const struct tree_root *root, struct err *err)
{
    struct walk w = { m->store->chunks, mark_enter, mark_leaf, NULL, m };

    return walk_tree(&w, root, err);
}

int mark_point(struct mark *m, const struct point_data *d, struct err *err)
{
    int r = 0;

    for (size_t k = 0; r == 0 && k < d->n; k++)
        r = mark_tree(m, &d->streams[k].root, err);
    return r;
}

int mark_points(struct mark *m, const struct chunk_id *ids, size_t n, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];

    for (size_t i = 0; i < n; i++) {
        _cleanup_point_data_ struct point_data d = { 0 };
        int r = point_get(&m->store->env, &ids[i], &d, err);
        if (r == -ENOENT)
            continue;
        if (r == 0)
            r = mark_point(m, &d, err);
        if (r < 0) {
            err_context(err, "restore point %.12s", crypt_hex(ids[i].b, sizeof ids[i].b, hex));
            return r;
        }
        m->points++;
    }
    return 0;
}
