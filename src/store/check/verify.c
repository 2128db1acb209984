/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading everything of a point back. */
#include "store/index/index.h"
#include "store/image/image_open.h"
#include "store/tree/tree.h"
#include <errno.h>

#define PIECE 8

struct verifying {
    struct store *store;
    void (*fn)(void *priv, const struct store_problem *p);
    void *priv;
    const struct par_cancel *cancel;
    pthread_mutex_t lock; /* problems, fn */
    uint64_t problems;
    const char *point, *name;
    const struct node *leaf;
    struct fresh seen; /* nodes of this stream: whoever has the key can make a small tree that has the same branch again and again */
};

static void verify_report(struct verifying *v, const struct err *why)
{
    struct store_problem p = { .what = why->text, .point = v->point, .name = v->name };

    SCOPED_LOCK(&v->lock);
    v->problems++;
    if (v->fn)
        v->fn(v->priv, &p);
}

static int verify_piece(void *ctx, size_t piece, struct err *err)
{
    struct verifying *v = ctx;

    for (unsigned i = (unsigned)piece * PIECE; i < (piece + 1) * PIECE; i++) {
        _cleanup_view_ struct chunk_view view = { 0 };
        struct err why = ERR_INIT;
        if (!node_has(v->leaf, i))
            continue;
        if (par_cancelled(v->cancel))
            return err_set(err, ECANCELED, "cancelled");
        int r = chunks_get(v->store->chunks, &(struct chunk_ref){ v->leaf->slots[i], CRYPT_CHUNK }, &view, &why);
        if (r == -EUCLEAN)
            verify_report(v, &why);
        else if (r < 0)
            return err_move(err, &why);
    }
    return 0;
}

static int verify_enter(void *priv, const struct chunk_id *id, unsigned level, struct err *err)
{
    struct verifying *v = priv;

    (void)level;
    if (par_cancelled(v->cancel))
        return err_set(err, ECANCELED, "cancelled");
    int r = fresh_add(&v->seen, id);
    return r < 0 ? err_errno(err, -r, "cannot verify") : r;
}

static int verify_leaf(void *priv, const struct node *leaf, uint64_t first, struct err *err)
{
    struct verifying *v = priv;

    (void)first;
    v->leaf = leaf;
    return pool_split(v->store->env.pool, NODE_FANOUT / PIECE, verify_piece, v, err);
}

static int verify_bad(void *priv, const struct chunk_id *id, const struct err *why, struct err *err)
{
    (void)id;
    (void)err;
    verify_report(priv, why);
    return 0;
}

static int verify_point(struct verifying *v, const struct chunk_id *id, struct err *err)
{
    _cleanup_point_data_ struct point_data d = { 0 };
    struct walk walk = { v->store->chunks, verify_enter, verify_leaf, verify_bad, v };
    char hex[STORE_ID_LEN + 1];
    struct err why = ERR_INIT;
    int r = point_get(&v->store->env, id, &d, &why);

    v->point = crypt_hex(id->b, sizeof id->b, hex);
    v->name = NULL;
    if (r == -EUCLEAN || r == -EPROTONOSUPPORT) {
        verify_report(v, &why);
        return 0;
    }
    if (r < 0)
        return err_move(err, &why);
    chunks_look_again(v->store->chunks);
    for (size_t i = 0; r == 0 && i < d.n; i++) {
        v->name = d.streams[i].name;
        r = walk_tree(&walk, &d.streams[i].root, err);
        fresh_free(&v->seen);
    }
    return r;
}

int store_verify(struct store *s, const char *point, void (*fn)(void *priv, const struct store_problem *p), void *priv,
                 const struct par_cancel *cancel, uint64_t *ret_problems, struct err *err)
{
    struct verifying v = { .store = s, .fn = fn, .priv = priv, .cancel = cancel };
    struct store_check all = { .read_data_percent = 100, .cancel = cancel };
    struct store_check_result result;
    struct chunk_id id;
    int r;

    if (point) {
        pthread_mutex_init(&v.lock, NULL);
        r = store_resolve(s, point, &id, err);
        if (r == 0)
            r = verify_point(&v, &id, err);
        pthread_mutex_destroy(&v.lock);
    } else {
        r = store_check(s, &all, fn, priv, &result, err);
        v.problems = r == 0 ? result.problems : 0;
    }
    if (r == 0)
        *ret_problems = v.problems;
    return r;
}
