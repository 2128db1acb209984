/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The points' side of a check. First all trees are walked silently, each branch once however many points share it. Only if something
 * is found they are walked again, each image's whole, to name every point and image that it touches. */
#include "base/par.h"
#include "store/check/checking.h"
#include "store/tree/tree.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TOLD_MAX 20 /* findings told one by one per image; the rest as a number */

struct point_check {
    struct checking *c;
    const char *point, *name;
    uint64_t found;    /* in this stream */
    bool quiet;        /* the first walk */
    bool any;          /* it found something */
    struct fresh seen; /* nodes of the first walk; of the second, those of this stream */
};

static void points_tell(struct point_check *x, const char *what)
{
    if (x->quiet)
        x->any = true;
    else if (x->found++ < TOLD_MAX)
        check_tell(x->c, x->point, x->name, "%s", what);
}

/* Whether the index knows the chunk, in lost packs only. */
static bool points_is_lost(struct checking *c, const struct chunk_id *id)
{
    struct location at;
    size_t seen = 0;
    bool lost = index_find_next(c->store->index, id, &seen, &at, NULL) > 0;

    c->unknown |= !lost;
    return lost;
}

/* Whether a chunk is there: in the index, in a pack that exists and is long enough, and not found bad. */
static int points_look_up(struct point_check *x, const struct chunk_id *id, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1], text[160];
    struct location at;
    struct err why = ERR_INIT;
    int r = index_find(x->c->store->index, id, &at, &why);
    bool aside = r == 0 && chunks_set_aside(x->c->store->chunks, id);

    x->c->aside |= aside;
    crypt_hex(id->b, sizeof id->b, hex);
    if (r < 0 && r != -EINPROGRESS && r != -EUCLEAN)
        return err_move(err, &why);
    if (fresh_find(&x->c->bad, id))
        snprintf(text, sizeof text, "chunk %s is damaged", hex);
    else if (r == -EUCLEAN)
        snprintf(text, sizeof text, "chunk %s cannot be found: the index is damaged", hex);
    else if (r == 0 && !aside)
        snprintf(text, sizeof text, "chunk %s is missing%s", hex, points_is_lost(x->c, id) ? " with its pack" : "");
    else
        return 0;
    points_tell(x, text);
    return 0;
}

static int points_enter(void *priv, const struct chunk_id *id, unsigned level, struct err *err)
{
    struct point_check *x = priv;

    (void)level;
    if (par_cancelled(x->c->options->cancel))
        return err_set(err, ECANCELED, "cancelled");
    int r = x->quiet && x->any ? 0 : fresh_add(&x->seen, id);
    return r < 0 ? err_errno(err, -r, "cannot check") : r;
}

static int points_leaf(void *priv, const struct node *n, uint64_t first, struct err *err)
{
    int r = 0;

    (void)first;
    for (unsigned i = 0; r == 0 && i < NODE_FANOUT; i++)
        if (node_has(n, i))
            r = points_look_up(priv, &n->slots[i], err);
    return r;
}

static int bad_node(void *priv, const struct chunk_id *id, const struct err *why, struct err *err)
{
    struct point_check *x = priv;

    (void)err;
    if (index_find(x->c->store->index, id, NULL, NULL) == 0)
        (void)points_is_lost(x->c, id);
    points_tell(x, why->text);
    return 0;
}

static int check_stream(struct point_check *x, const struct point_stream *s, struct err *err)
{
    struct walk walk = { x->c->store->chunks, points_enter, points_leaf, bad_node, x };

    x->name = s->name;
    x->found = 0;
    if (!x->quiet) /* each image is told of, but in none the same branch again and again */
        fresh_free(&x->seen);
    int r = walk_tree(&walk, &s->root, err);
    if (x->found > TOLD_MAX)
        check_tell(x->c, x->point, x->name, "%llu more chunks are missing or damaged", (unsigned long long)(x->found - TOLD_MAX));
    return r;
}

static int points_check_point(struct point_check *x, const struct chunk_id *id, struct err *err)
{
    _cleanup_point_data_ struct point_data d = { 0 };
    char hex[STORE_ID_LEN + 1];
    struct err why = ERR_INIT;
    uint64_t before = x->c->result.problems;
    int r = point_get(&x->c->store->env, id, &d, &why);

    if (r == -ENOENT)
        return 0; /* forgotten meanwhile */
    x->point = crypt_hex(id->b, sizeof id->b, hex);
    if (r < 0 && r != -EUCLEAN && r != -EPROTONOSUPPORT)
        return err_move(err, &why);
    x->name = NULL;
    x->found = 0;
    if (r < 0)
        points_tell(x, why.text);
    for (size_t i = 0; i < d.n; i++) {
        r = check_stream(x, &d.streams[i], err);
        if (r < 0)
            return r;
    }
    if (!x->quiet)
        x->c->result.points_damaged += x->c->result.problems != before;
    return 0;
}

static int walk_points(struct point_check *x, const struct chunk_id *ids, size_t n, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < n && !(x->quiet && x->any); i++)
        r = points_check_point(x, &ids[i], err);
    return r;
}

/* The silent walk. What it finds may only be that others made or removed points and packs since the index was read: then it is done
 * once more, with what is there now. */
static int walk_silently(struct point_check *x, struct chunk_id **ids, size_t *n, struct err *err)
{
    int r = 0;

    for (unsigned tries = 0; r == 0 && tries < 2 && (tries == 0 || x->any); tries++) {
        if (tries)
            r = index_reload(x->c->store->index, NULL, err);
        fresh_free(&x->seen);
        free(TAKE_PTR(*ids));
        x->any = false;
        chunks_look_again(x->c->store->chunks);
        if (r == 0)
            r = point_list(&x->c->store->env, ids, n, err);
        if (r == 0)
            r = walk_points(x, *ids, *n, err);
    }
    fresh_free(&x->seen);
    return r;
}

static bool is_among(const struct chunk_id *ids, size_t n, const char *hex)
{
    struct chunk_id id;
    bool found = !crypt_unhex(hex, id.b, sizeof id.b);

    for (size_t i = 0; i < n && !found; i++)
        found = memcmp(&ids[i], &id, sizeof id) == 0;
    return found;
}

/* Protected points that the storage has lost, or that something else than kvss forget has removed. */
static int check_protected(struct checking *c, const struct chunk_id *ids, size_t n, struct err *err)
{
    _cleanup_free_ struct store_protection *list = NULL;
    size_t list_n = 0;
    int r = store_protections(c->store, &list, &list_n, err);

    for (size_t i = 0; r == 0 && i < list_n; i++) {
        if (list[i].expired || is_among(ids, n, list[i].point))
            continue;
        check_tell(c, list[i].point, NULL, "it is protected but no longer exists; if it is permanently lost, run kvss protect --off %s",
                   list[i].point);
        c->result.points_damaged++;
    }
    return r;
}

int check_points(struct checking *c, struct err *err)
{
    struct point_check x = { .c = c, .quiet = true };
    _cleanup_free_ struct chunk_id *ids = NULL;
    size_t n = 0;
    int r = walk_silently(&x, &ids, &n, err);

    if (r == 0 && x.any) {
        x.quiet = false;
        r = walk_points(&x, ids, n, err);
        fresh_free(&x.seen);
    }
    c->result.points = n;
    return r < 0 ? r : check_protected(c, ids, n, err);
}
