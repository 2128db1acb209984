/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks that no index names any more, in packs that a prune has set aside (gc records) and not deleted yet. Whoever reads a restore point
 * that was out of sight while a prune ran finds its chunks here; the next prune takes the packs back into the index. Nothing is written
 * that counts on them: the index is not told. */
#include "store/garbage/set_aside.h"
#include "base/num.h"
#include "store/garbage/garbage.h"
#include <string.h>

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

static void aside_look(struct set_aside *s, struct env *env)
{
    _cleanup_garbage_ struct garbage garbage = { 0 };
    struct err why = ERR_INIT;

    if (garbage_look(env, &garbage, &why) < 0) {
        log_debug(env->log, "cannot read what a prune has set aside: %s", why.text);
        return;
    }
    for (size_t i = 0; i < garbage.n; i++)
        for (size_t k = 0; k < garbage.records[i].packs.n; k++) {
            struct noting x = { s, &garbage.records[i].packs.list[k] };
            if (pack_walk(env, x.pack, note_segment, &x, &why) == -E2BIG)
                return;
        }
}

bool set_aside_find(struct set_aside *s, struct env *env, const struct chunk_id *id, struct location *ret)
{
    SCOPED_LOCK(&s->lock);
    if (!s->looked) {
        s->looked = true;
        aside_look(s, env);
    }
    const struct index_entry *e = fresh_find(&s->found, id);
    if (e && ret)
        *ret = e->at;
    return e != NULL;
}

void set_aside_look_again(struct set_aside *s)
{
    SCOPED_LOCK(&s->lock);
    s->looked = false;
}

void set_aside_free(struct set_aside *s)
{
    fresh_free(&s->found);
    pthread_mutex_destroy(&s->lock);
}
