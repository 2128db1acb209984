/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs that are damaged, though what is needed of them can be read, here or in another place: that is written into new packs, so that
 * the damaged ones can go. Where they are named is told by the index, as their own footers may be what is damaged. */
#include "base/par.h"
#include "store/prune/prune_internal.h"
#include "store/index/index.h"
#include "store/pack/pack.h"
#include <errno.h>
#include <string.h>

/* ---- finding them ---------------------------------------------------------------------------------------------------------------*/

static int nothing_more(void *priv, const struct footer_segment *s)
{
    (void)priv;
    (void)s;
    return 0;
}

static int note_bad(void *priv, const struct footer_segment *s, const bool *bad, const struct err *why)
{
    struct pack_use *u = priv;

    (void)why;
    for (unsigned i = 0; i < s->n; i++)
        u->damaged |= bad[i];
    return 0;
}

/* The last bytes alone: a pack that was cut within its footer shows there, at the cost of one small read. */
static int look_at_end(const struct env *env, const struct pack_use *u, struct err *err)
{
    uint8_t tail[OBJECT_TAIL_LEN];
    char path[OBJECT_PATH_SIZE];
    uint32_t len;

    if (u->size < CRYPT_HEADER_LEN + CRYPT_TAG_LEN + OBJECT_TAIL_LEN)
        return -EUCLEAN;
    int r = backend_get(env->backend, object_name_path("packs", &u->name, path), u->size - sizeof tail, tail, sizeof tail, err);
    if (r == 0)
        r = object_tail_check(tail, u->size, PACK_SIZE_MAX, &len);
    return r == -EBADMSG || r == -ENODATA ? -EUCLEAN : r;
}

static int look_at_pack(void *ctx, size_t i, struct err *err)
{
    struct pruning *p = ctx;
    struct pack_use *u = &p->packs[i];
    struct env *env = &p->store->env;
    struct scan scan = { env, p->options->cancel, note_bad, u };
    struct err why = ERR_INIT;
    int r;

    if (!u->indexed)
        return 0;
    if (par_cancelled(p->options->cancel))
        return err_set(err, ECANCELED, "cancelled");
    if (p->options->mend == STORE_MEND_ALL)
        r = scan_pack(&scan, &u->name, &why);
    else if (p->options->mend == STORE_MEND_FOOTERS)
        r = pack_walk(env, &u->name, nothing_more, NULL, &why);
    else
        r = look_at_end(env, u, &why);
    u->damaged |= r == -EUCLEAN || r == -EIO;
    return r == -EUCLEAN || r == -EIO || r == -ENOENT || r == -EPROTONOSUPPORT ? 0 : r < 0 ? err_move(err, &why) : 0;
}

int prune_find_damaged(struct pruning *p, struct err *err)
{
    int r = p->packs_n ? pool_split(p->store->env.pool, p->packs_n, look_at_pack, p, err) : 0;

    for (size_t i = 0; i < p->packs_n; i++)
        p->result.packs_damaged += p->packs[i].damaged;
    return r;
}

/* ---- writing again what is needed of them --------------------------------------------------------------------------------------*/

struct needed {
    struct index_entry entry;
    struct pack_use *pack;
    bool node;
};

struct mending {
    struct pruning *p;
    struct needed *list;
    size_t n, room;
};

static int mend_gather(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct mending *x = priv;
    struct pack_use *u = prune_pack(x->p, &e->at.pack);

    if (!u || u->plan != PLAN_MEND || !mark_is(x->p->mark.used, at))
        return 0;
    if (x->n == x->room) {
        size_t room = x->room ? 2 * x->room : 256;
        struct needed *list = reallocarray(x->list, room, sizeof *list);
        if (!list)
            return err_nomem(err);
        x->list = list;
        x->room = room;
    }
    x->list[x->n++] = (struct needed){ *e, u, mark_is(x->p->mark.node, at) };
    return 0;
}

/* As they are in the packs, so that each segment is read once. */
static int mend_compare(const void *a, const void *b)
{
    const struct location *x = &((const struct needed *)a)->entry.at, *y = &((const struct needed *)b)->entry.at;
    int c = memcmp(&x->pack, &y->pack, sizeof x->pack);

    return c ? c : x->off != y->off ? (x->off > y->off) - (x->off < y->off) : (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* What can be read nowhere keeps its pack, and its place in the index. */
static int mend_copy(struct mending *x, const struct needed *n, struct packer_stream *data, struct packer_stream *meta, struct err *err)
{
    const struct chunk_ref want = { n->entry.id, n->node ? CRYPT_NODE : CRYPT_CHUNK };
    _cleanup_view_ struct chunk_view view = { 0 };
    struct err why = ERR_INIT;

    if (par_cancelled(x->p->options->cancel))
        return err_set(err, ECANCELED, "cancelled");
    int r = chunks_get(x->p->store->chunks, &want, &view, &why);
    if (r == -EUCLEAN || r == -EIO) {
        log_warning(x->p->store->env.log, "%s; its pack is kept", why.text);
        x->p->result.chunks_lost++;
        n->pack->plan = PLAN_KEEP;
        return 0;
    }
    if (r < 0)
        return err_move(err, &why);
    return packer_add(n->node ? meta : data, &want.id, view.p, view.n, err);
}

int prune_mend(struct pruning *p, struct err *err)
{
    struct mending x = { .p = p };
    struct packer_stream data, meta;
    bool any = false;
    int r = 0;

    for (size_t i = 0; i < p->packs_n; i++)
        any |= p->packs[i].plan == PLAN_MEND;
    if (!any)
        return 0;
    packer_stream_init(&data, p->store->packer, PACK_DATA);
    packer_stream_init(&meta, p->store->packer, PACK_META);
    r = index_set_each(p->mark.set, mend_gather, &x, err);
    if (r == 0 && x.n)
        qsort(x.list, x.n, sizeof *x.list, mend_compare);
    for (size_t i = 0; r == 0 && i < x.n; i++)
        r = mend_copy(&x, &x.list[i], &data, &meta, err);
    if (r == 0)
        r = packer_flush(p->store->packer, err);
    packer_stream_drop(&data);
    packer_stream_drop(&meta);
    for (size_t i = 0; i < p->packs_n; i++)
        p->result.packs_mended += p->packs[i].plan == PLAN_MEND;
    free(x.list);
    return r;
}
