/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks in packs that no index file names. A prune has taken these packs out of the index and not deleted them: it is at work, was killed,
 * or could not see the restore point that needs them. Or an index file was removed. Whoever reads the restore point finds its chunks here;
 * the next prune, or repair, enters the packs again. Nothing is written that counts on them: the index is not told. */
#include "store/garbage/set_aside.h"
#include "base/clock.h"
#include "base/num.h"
#include "store/index/index.h"
#include <string.h>

#define ASIDE_AGAIN_MS 1000 /* packs are not looked for more often */
#define ASIDE_SHARE 20      /* nor for more than this part of the time */

struct noting {
    struct set_aside *s;
    const struct object_name *pack;
};

static int note_segment(void *priv, const struct footer_segment *g)
{
    struct noting *x = priv;
    struct chunk_id id;

    if (x->s->found.count + g->n > SET_ASIDE_CHUNKS_MAX)
        return -E2BIG;
    for (unsigned i = 0; i < g->n; i++) {
        memcpy(id.b, footer_chunk(g, i), CRYPT_ID_LEN);
        int r = fresh_add(&x->s->found, &id);
        if (r < 0)
            return r;
        if (r > 0)
            fresh_find(&x->s->found, &id)->at = (struct location){
                .pack = *x->pack,
                .off = g->off,
                .len = g->len,
                .ordinal = (uint8_t)i,
                .chunk_len = num_get_le32(footer_chunk(g, i) + CRYPT_ID_LEN),
            };
    }
    return 0;
}

/* Remembers the pack's chunks. False: there is room for no more. */
static bool aside_walk(struct set_aside *s, struct env *env, const struct object_name *pack, struct names *walked)
{
    struct noting x = { s, pack };
    struct err why = ERR_INIT;
    int r = names_has(&s->walked, pack) ? 0 : pack_walk(env, pack, note_segment, &x, &why);

    if (r == 0 || r == -EUCLEAN) /* others may have been passing errors: it is looked at again */
        r = names_add(walked, pack);
    return r != -E2BIG && r != -ENOMEM;
}

static void aside_look(struct set_aside *s, struct env *env, struct index *ix)
{
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(ix);
    _cleanup_names_ struct names packs = { 0 }, walked = { 0 };
    struct err why = ERR_INIT;

    if (index_set_unnamed(set, env, &packs, &why) < 0) {
        log_debug(env->log, "cannot look for packs that no index names: %s", why.text);
        return;
    }
    for (size_t i = 0; !s->full && i < packs.n; i++)
        s->full = !aside_walk(s, env, &packs.list[i], &walked);
    names_sort(&walked);
    names_free(&s->walked);
    s->walked = walked;
    walked = (struct names){ 0 };
}

/* A repository that lacks much is not searched again for each chunk that is not found. */
static void aside_look_if_due(struct set_aside *s, struct env *env, struct index *ix)
{
    uint64_t began = clock_mono_ms();

    if (s->full || began < s->next_ms)
        return;
    aside_look(s, env, ix);
    uint64_t now = clock_mono_ms();
    s->next_ms = now + num_max(ASIDE_AGAIN_MS, ASIDE_SHARE * (now - began));
}

bool set_aside_find(struct set_aside *s, struct env *env, struct index *ix, const struct chunk_id *id, struct location *ret)
{
    SCOPED_LOCK(&s->lock);
    const struct index_entry *e = fresh_find(&s->found, id);
    if (!e) {
        aside_look_if_due(s, env, ix);
        e = fresh_find(&s->found, id);
    }
    if (e && ret)
        *ret = e->at;
    return e != NULL;
}

void set_aside_look_again(struct set_aside *s)
{
    SCOPED_LOCK(&s->lock);
    s->next_ms = 0;
}

void set_aside_free(struct set_aside *s)
{
    fresh_free(&s->found);
    names_free(&s->walked);
    pthread_mutex_destroy(&s->lock);
}
