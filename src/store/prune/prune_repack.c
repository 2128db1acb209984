/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying what is used out of packs that are mostly unused. */
#include "store/prune/prune_internal.h"
#include <errno.h>
#include <string.h>

struct repacking {
    struct pruning *p;
    const struct object_name *pack;
    struct packer_stream *data, *meta;
    struct err *err;
};

/* Whether the chunk at this place is the one the index would be read from, and in use. */
static int in_use(struct repacking *x, const struct footer_segment *s, unsigned i, bool *ret_node)
{
    struct mark *m = &x->p->mark;
    struct index_position pos;
    struct location at;
    struct chunk_id id;

    memcpy(id.b, footer_chunk(s, i), sizeof id.b);
    int r = index_set_find(m->set, &id, &at, &pos, x->err);
    if (r <= 0)
        return r;
    if (memcmp(&at.pack, x->pack, sizeof at.pack) != 0 || at.off != s->off || at.ordinal != i || !mark_is(m->used, pos))
        return 0;
    *ret_node = mark_is(m->node, pos);
    return 1;
}

static int copy_chunk(struct repacking *x, struct segment_data *d, const struct footer_segment *s, unsigned i, bool node)
{
    struct chunk_ref want = { .kind = node ? CRYPT_NODE : CRYPT_CHUNK };
    const uint8_t *p;
    size_t n;

    memcpy(want.id.b, footer_chunk(s, i), sizeof want.id.b);
    int r = segment_chunk(&x->p->store->env, d, i, &want, &p, &n, x->err);
    return r < 0 ? r : packer_add(node ? x->meta : x->data, &want.id, p, n, x->err);
}

static int copy_segment(void *priv, const struct footer_segment *s)
{
    struct repacking *x = priv;
    _cleanup_(segment_unref_p) struct segment_data *d = NULL;

    if (par_cancelled(x->p->options->cancel))
        return err_set(x->err, ECANCELED, "cancelled");
    for (unsigned i = 0; i < s->n; i++) {
        bool node = false;
        int r = in_use(x, s, i, &node);
        if (r > 0 && !d)
            r = pack_read_segment(&x->p->store->env, x->pack, s->off, s->len, &d, x->err) < 0 ? -EUCLEAN : 1;
        if (r > 0)
            r = copy_chunk(x, d, s, i, node);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A pack that cannot be copied whole stays: what is damaged in it is lost either way, and check can tell of it. */
static int repack_one(struct repacking *x, struct pack_use *u)
{
    x->pack = &u->name;
    int r = pack_walk(&x->p->store->env, &u->name, copy_segment, x, x->err);
    if (r == -EUCLEAN || r == -ENOENT) {
        log_warning(x->p->store->env.log, "%s; the pack is kept as it is", x->err->text);
        u->plan = PLAN_KEEP;
        x->p->result.packs_repacked--;
        err_clear(x->err);
        return 0;
    }
    return r;
}

int prune_repack(struct pruning *p, struct err *err)
{
    struct packer_stream data, meta;
    struct err local = ERR_INIT;
    struct repacking x = { p, NULL, &data, &meta, &local };
    struct progress_task *task = NULL;
    uint64_t total = 0;

    if (p->result.packs_repacked == 0)
        return 0;
    packer_stream_init(&data, p->store->packer, PACK_DATA);
    packer_stream_init(&meta, p->store->packer, PACK_META);
    for (size_t i = 0; i < p->packs_n; i++)
        total += p->packs[i].plan == PLAN_REPACK ? p->packs[i].size : 0;
    int r = progress_task_new(p->options->progress, "packs", total, &task, &local);
    for (size_t i = 0; r == 0 && i < p->packs_n; i++) {
        if (p->packs[i].plan != PLAN_REPACK)
            continue;
        r = repack_one(&x, &p->packs[i]);
        progress_add(task, p->packs[i].size);
    }
    progress_end(task);
    if (r == 0)
        r = packer_flush(p->store->packer, &local);
    packer_stream_drop(&data);
    packer_stream_drop(&meta);
    return r < 0 ? err_move(err, &local) : 0;
}
