/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is lost with packs that the storage has lost or cut short. */
#include "store/index/index.h"
#include "store/image/image_open.h"
#include "store/tree/tree.h"
#include <errno.h>
#include <stdio.h>

int store_lost(struct store *s, struct store_lost *ret, struct err *err)
{
    struct store_lost l = { .again = index_claimed_again(s->index) };
    char path[OBJECT_PATH_SIZE];
    int r = 0;

    pthread_mutex_lock(&s->lock);
    if (s->writers == 0) { /* whoever writes has looked when the writing began */
        r = index_look(s->index, err);
        r = r == 0 ? index_reload(s->index, NULL, err) : r;
    }
    pthread_mutex_unlock(&s->lock);
    if (r < 0)
        return r;
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(s->index);
    for (size_t i = 0; set->lost && i < set->lost->packs.n; i++) {
        const struct pack_size *p = &set->lost->packs.list[i];
        l.missing += p->size == 0;
        l.cut += p->size != 0;
        if (!l.first[0])
            snprintf(l.first, sizeof l.first, "%s", object_name_path("packs", &p->name, path));
    }
    *ret = l;
    return 0;
}

static int lost_find(struct store *s, const struct chunk_id *id, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];
    int r = index_find(s->index, id, NULL, err);

    if (r == 0)
        return err_set(err, EUCLEAN, "chunk %s is missing", crypt_hex(id->b, sizeof id->b, hex));
    return r > 0 || r == -EINPROGRESS ? 0 : r;
}

struct lost_looking {
    struct store *store;
    struct fresh seen; /* nodes: the same branch may stand in a tree again and again */
};

static int lost_enter(void *priv, const struct chunk_id *id, unsigned level, struct err *err)
{
    struct lost_looking *x = priv;
    int r = lost_find(x->store, id, err);

    (void)level;
    if (r < 0)
        return r;
    r = fresh_add(&x->seen, id);
    return r < 0 ? err_nomem(err) : r;
}

static int lost_leaf(void *priv, const struct node *n, uint64_t first, struct err *err)
{
    struct lost_looking *x = priv;
    int r = 0;

    (void)first;
    for (unsigned i = 0; r == 0 && i < NODE_FANOUT; i++)
        if (node_has(n, i))
            r = lost_find(x->store, &n->slots[i], err);
    return r;
}

int store_image_whole(struct store_point *p, const char *name, struct err *err)
{
    const struct point_stream *stream = point_data_find(&p->data, STREAM_IMAGE, name);
    struct lost_looking x = { .store = p->store };
    struct walk w = { p->store->chunks, lost_enter, lost_leaf, NULL, &x };
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(p->store->index);

    if (!stream)
        return err_set(err, ENOENT, "restore point %s has no image '%s'", p->id, name);
    int r = set->lost ? walk_tree(&w, &stream->root, err) : 0;
    fresh_free(&x.seen);
    return r;
}
