/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/chunk/chunks.h"
#include "base/clock.h"
#include "store/index/index.h"
#include "store/garbage/garbage.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define KEPT 32            /* segments of 1 MiB as a rule */
#define SETTLE_TRIES 10000 /* of a millisecond */
#define RELOAD_MS 1000     /* the list of index files is not read again sooner */

struct chunks_kept {
    struct object_name pack;
    uint32_t off;
    bool used, loading;
    uint64_t tick;
    struct segment_data *segment;
};

struct chunks {
    struct env *env;
    struct index *index;
    struct packer *packer;
    pthread_mutex_t lock; /* kept, tick */
    pthread_cond_t loaded;
    struct chunks_kept kept[KEPT];
    uint64_t tick;
    pthread_mutex_t reload_lock; /* held while the index is read again, so that all who miss a chunk wait for that */
    uint64_t reloaded_ms;
    atomic_uint reloads;
    atomic_int unnamed; /* whether there are packs that no index names: 1, -1 no, 0 nobody has looked */
    struct set_aside aside;
};

int chunks_new(struct env *env, struct index *ix, struct packer *packer, struct chunks **ret, struct err *err)
{
    struct chunks *c = calloc(1, sizeof *c);

    if (!c)
        return err_nomem(err);
    c->env = env;
    c->index = ix;
    c->packer = packer;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->loaded, NULL);
    pthread_mutex_init(&c->reload_lock, NULL);
    pthread_mutex_init(&c->aside.lock, NULL);
    *ret = c;
    return 0;
}

void chunks_free(struct chunks *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < KEPT; i++)
        segment_unref(c->kept[i].segment);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->loaded);
    pthread_mutex_destroy(&c->reload_lock);
    set_aside_free(&c->aside);
    free(c);
}

static struct segment_data *ref(struct segment_data *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

static struct chunks_kept *chunks_find(struct chunks *c, const struct location *at)
{
    for (size_t i = 0; i < KEPT; i++) {
        struct chunks_kept *k = &c->kept[i];
        if (k->used && k->off == at->off && memcmp(&k->pack, &at->pack, sizeof k->pack) == 0)
            return k;
    }
    return NULL;
}

/* A place for one more: an unused one or the least recently used; NULL if all are being loaded. */
static struct chunks_kept *chunks_make_room(struct chunks *c)
{
    struct chunks_kept *best = NULL;

    for (size_t i = 0; i < KEPT; i++) {
        struct chunks_kept *k = &c->kept[i];
        if (!k->loading && (!best || !k->used || (best->used && k->tick < best->tick)))
            best = k;
    }
    if (best) {
        segment_unref(best->segment);
        *best = (struct chunks_kept){ 0 };
    }
    return best;
}

/* The segment if it is kept (1); else 0 and *ret_place, where this caller is to put it (NULL: nowhere). Waits for others who
 * are loading it. */
static int lookup(struct chunks *c, const struct location *at, struct segment_data **ret, struct chunks_kept **ret_place)
{
    SCOPED_LOCK(&c->lock);
    struct chunks_kept *k;
    while ((k = chunks_find(c, at)) && k->loading)
        pthread_cond_wait(&c->loaded, &c->lock);
    if (k) {
        k->tick = ++c->tick;
        *ret = ref(k->segment);
        return 1;
    }
    k = chunks_make_room(c);
    if (k)
        *k = (struct chunks_kept){ .pack = at->pack, .off = at->off, .used = true, .loading = true };
    *ret_place = k;
    return 0;
}

static int chunks_load(struct chunks *c, const struct location *at, struct segment_data **ret, struct err *err)
{
    struct segment_data *s = NULL;
    struct chunks_kept *place;

    if (lookup(c, at, ret, &place))
        return 0;
    int r = pack_read_segment(c->env, &at->pack, at->off, at->len, &s, err);
    if (place) {
        SCOPED_LOCK(&c->lock);
        if (r < 0) {
            *place = (struct chunks_kept){ 0 };
        } else {
            place->loading = false;
            place->tick = ++c->tick;
            place->segment = ref(s);
        }
        pthread_cond_broadcast(&c->loaded);
    }
    if (r == 0)
        *ret = s;
    return r;
}

/* Reads the index's list again, unless that was just done. `seen`: c->reloads before the index was asked. True if it was read since,
 * by this or another thread. */
static bool reload(struct chunks *c, unsigned seen)
{
    uint64_t now = clock_mono_ms();

    SCOPED_LOCK(&c->reload_lock);
    if (c->reloads != seen)
        return true;
    if (c->reloaded_ms && now - c->reloaded_ms < RELOAD_MS)
        return false;
    c->reloaded_ms = now;
    if (index_reload(c->index, NULL, NULL) < 0)
        return false;
    c->reloads++;
    return true;
}

void chunks_look_again(struct chunks *c)
{
    set_aside_look_again(&c->aside);
    SCOPED_LOCK(&c->reload_lock);
    c->reloaded_ms = 0;
}

bool chunks_set_aside(struct chunks *c, const struct chunk_id *id)
{
    return set_aside_find(&c->aside, c->env, c->index, id, NULL);
}

/* A chunk that this process has claimed: makes it durable. One that was claimed a moment ago may not have reached the packer yet,
 * so that this is tried again for a while. */
static int chunks_settle(struct chunks *c, const struct chunk_id *id, struct location *ret, struct err *err)
{
    int r = -EINPROGRESS;

    for (unsigned i = 0; r == -EINPROGRESS && i < SETTLE_TRIES; i++) {
        if (i > 0)
            clock_sleep_ms(1);
        r = packer_flush(c->packer, err);
        if (r == 0)
            r = index_find(c->index, id, ret, err);
    }
    return r;
}

/* A chunk that the index does not know may be in a pack that it does not know either. */
static int chunks_missing(struct chunks *c, const struct chunk_id *id, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];

    crypt_hex(id->b, sizeof id->b, hex);
    if (atomic_load(&c->unnamed) == 0) {
        _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(c->index);
        _cleanup_names_ struct names packs = { 0 };
        atomic_store(&c->unnamed, index_set_unnamed(set, c->env, &packs, NULL) == 0 && packs.n ? 1 : -1);
    }
    if (atomic_load(&c->unnamed) > 0)
        return err_set(err, EUCLEAN,
                       "chunk %s is missing from the index, and so are some packs: an index file was probably removed; run kvss repair "
                       "index, then try again",
                       hex);
    return err_set(err, EUCLEAN, "chunk %s is missing from the repository", hex);
}

static int locate(struct chunks *c, const struct chunk_id *id, struct location *ret, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];
    unsigned seen = atomic_load(&c->reloads);
    int r = index_find(c->index, id, ret, err);

    if (r == -EINPROGRESS && c->packer)
        r = chunks_settle(c, id, ret, err);
    if (r == 0 && reload(c, seen))
        r = index_find(c->index, id, ret, err);
    if (r == 0)
        r = set_aside_find(&c->aside, c->env, c->index, id, ret);
    if (r == -EINPROGRESS)
        return err_set(err, EBUSY, "chunk %s has been in the process of being written for too long", crypt_hex(id->b, sizeof id->b, hex));
    if (r == 0)
        return chunks_missing(c, id, err);
    return r < 0 ? r : 0;
}

static int get_at(struct chunks *c, const struct location *at, const struct chunk_ref *want, struct chunk_view *ret, struct err *err)
{
    _cleanup_(segment_unref_p) struct segment_data *s = NULL;
    char hex[2 * CRYPT_ID_LEN + 1];
    int r = chunks_load(c, at, &s, err);

    if (r == 0)
        r = segment_chunk(c->env, s, at->ordinal, want, &ret->p, &ret->n, err);
    else if (r == -EUCLEAN)
        err_context(err, "chunk %s", crypt_hex(want->id.b, sizeof want->id.b, hex));
    if (r == 0)
        ret->segment = TAKE_PTR(s);
    return r;
}

/* A chunk may be in several packs, in another index table each time: stored again because a pack was lost, or by two hosts at once. */
static int get_elsewhere(struct chunks *c, const struct location *tried, const struct chunk_ref *want, struct chunk_view *ret)
{
    struct location at;
    size_t seen = 0;

    while (index_find_next(c->index, &want->id, &seen, &at, NULL) > 0)
        if ((memcmp(&at.pack, &tried->pack, sizeof at.pack) != 0 || at.off != tried->off) && get_at(c, &at, want, ret, NULL) == 0)
            return 0;
    return -ENOENT;
}

int chunks_get(struct chunks *c, const struct chunk_ref *want, struct chunk_view *ret, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];
    struct location at;

    for (bool again = false;; again = true) {
        int r = locate(c, &want->id, &at, err);
        if (r < 0)
            return r;
        r = get_at(c, &at, want, ret, err);
        if ((r == -ENOENT || r == -EUCLEAN || r == -EIO) && get_elsewhere(c, &at, want, ret) == 0) {
            err_clear(err);
            return 0;
        }
        /* Another host's prune may have moved the chunk to another pack since the index was read. */
        if (r == -ENOENT && !again && index_reload(c->index, NULL, NULL) == 0)
            continue;
        if (r == -ENOENT)
            return err_set(err, EUCLEAN, "chunk %s is missing: its pack no longer exists", crypt_hex(want->id.b, sizeof want->id.b, hex));
        return r;
    }
}
