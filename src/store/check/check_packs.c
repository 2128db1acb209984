/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking a repository: index, packs, points; on demand every byte. What is damaged is told with the points it touches. */
#include "store/check/checking.h"
#include "base/par.h"
#include "store/reach/reach.h"
#include "store/pack/pack.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void tell(struct checking *c, struct store_problem p, const char *fmt, va_list ap)
{
    char text[KVSS_ERR_TEXT_MAX];

    vsnprintf(text, sizeof text, fmt, ap);
    p.what = text;
    SCOPED_LOCK(&c->lock);
    c->result.problems += !p.warning;
    if (c->fn)
        c->fn(c->priv, &p);
}

void check_tell(struct checking *c, const char *point, const char *name, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell(c, (struct store_problem){ .point = point, .name = name }, fmt, ap);
    va_end(ap);
}

void check_warn(struct checking *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tell(c, (struct store_problem){ .warning = true }, fmt, ap);
    va_end(ap);
}

/* ---- packs ----------------------------------------------------------------------------------------------------------------*/

/* Keeps a chunk that cannot be read, for the walk over the points. */
static int add_bad(struct checking *c, const uint8_t *id)
{
    struct chunk_id bad;

    memcpy(bad.b, id, sizeof bad.b);
    SCOPED_LOCK(&c->lock);
    int r = fresh_add(&c->bad, &bad);
    return r < 0 ? r : 0;
}

/* Whether the index has the chunk in another place too: it was stored again since, and what is damaged here is not used. */
static bool is_elsewhere(struct checking *c, const uint8_t *id, const struct object_name *pack, uint32_t off)
{
    struct chunk_id want;
    struct location at;
    size_t seen = 0;

    memcpy(want.b, id, sizeof want.b);
    while (index_set_find_next(c->set, &want, &seen, &at, NULL) > 0)
        if ((memcmp(at.pack.b, pack->b, sizeof at.pack.b) != 0 || at.off != off) && !lost_packs_has(c->set->lost, &at))
            return true;
    return false;
}

struct one_pack {
    struct checking *c;
    const struct object_name *name;
    uint64_t bytes, chunks;
    bool garbage; /* no index names it */
    bool bad;     /* and it is damaged */
};

static int segment_read(void *priv, const struct footer_segment *s, const bool *bad, const struct err *why)
{
    struct one_pack *o = priv;
    char hex[2 * CRYPT_ID_LEN + 1];

    o->bytes += s->len;
    for (unsigned i = 0; i < s->n; i++) {
        o->chunks++;
        o->bad |= o->garbage && bad[i];
        if (!bad[i] || o->garbage || is_elsewhere(o->c, footer_chunk(s, i), o->name, s->off))
            continue;
        int r = add_bad(o->c, footer_chunk(s, i));
        if (r < 0)
            return r;
        check_tell(o->c, NULL, NULL, "chunk %s is damaged: %s", crypt_hex(footer_chunk(s, i), CRYPT_ID_LEN, hex), why->text);
    }
    return 0;
}

static int segment_listed(void *priv, const struct footer_segment *s)
{
    struct one_pack *o = priv;

    o->chunks += s->n;
    return 0;
}

/* Keeps a pack whose end cannot be read for a closer look: which chunks are lost with it is not told by its footer. 0: it was told that
 * the pack is lost, or its chunks are elsewhere; 1: it is to be told. */
static int suspect(struct checking *c, const struct object_name *pack)
{
    const struct lost_packs *lost = c->set->lost;

    if (lost && packs_find(lost->packs.list, lost->packs.n, pack))
        return 0;
    SCOPED_LOCK(&c->lock);
    return names_add(&c->suspect, pack) < 0 ? -ENOMEM : 1;
}

/* Of a pack that cannot be read to its end. */
static int tell_pack(struct one_pack *o, const struct err *why)
{
    if (o->garbage) {
        o->bad = true;
        return 0;
    }
    int r = suspect(o->c, o->name);
    if (r == 1)
        check_tell(o->c, NULL, NULL, "%s; kvss repair packs rewrites it if all the data needed from it can be read", why->text);
    return r < 0 ? r : 0;
}

static int check_pack(void *ctx, size_t i, struct err *err)
{
    struct checking *c = ctx;
    struct one_pack o = { .c = c, .name = &c->packs.list[i], .garbage = !names_has(&c->named, &c->packs.list[i]) };
    struct scan scan = { &c->store->env, c->options->cancel, segment_read, &o };
    char path[OBJECT_PATH_SIZE];
    struct err why = ERR_INIT;

    if (par_cancelled(c->options->cancel))
        return err_set(err, ECANCELED, "cancelled");
    bool whole = c->read[i];
    uint64_t size = c->sizes[i];
    int r = whole ? scan_pack(&scan, o.name, &why) : pack_walk(&c->store->env, o.name, segment_listed, &o, &why);
    if (r == -ENOENT)
        return 0; /* pruned meanwhile; the walk over the points tells if that was wrong */
    if (r == -EUCLEAN || r == -EIO || r == -EPROTONOSUPPORT) {
        r = tell_pack(&o, &why);
        r = r < 0 ? err_errno(&why, -r, "cannot check") : 0;
    }
    if (o.bad)
        check_warn(c, "%s is damaged, but no index names it and nothing needs it; kvss prune removes it",
                   object_name_path("packs", o.name, path));
    progress_add(c->task, size);
    SCOPED_LOCK(&c->lock);
    c->result.packs++;
    c->result.packs_read += whole;
    c->result.bytes_read += o.bytes;
    c->result.chunks += o.chunks;
    return r < 0 ? err_move(err, &why) : 0;
}

/* Chooses which packs are read whole: that share of them, by chance, at least one. */
static int packs_choose(struct checking *c, struct err *err)
{
    size_t n = c->packs.n, left = (n * c->options->read_data_percent + 99) / 100;
    uint32_t random;

    c->read = calloc(n + 1, sizeof *c->read);
    if (!c->read)
        return err_nomem(err);
    /* Each of the remaining packs is taken with the chance left / remaining. */
    for (size_t i = 0; i < n && left; i++) {
        int r = crypt_random(&random, sizeof random);
        if (r < 0)
            return err_errno(err, -r, "cannot choose packs");
        if (random % (n - i) < left) {
            c->read[i] = true;
            left--;
        }
    }
    return 0;
}

/* What there is to do: the bytes of the packs that are read; of the others, a block for the footer. */
static int start_progress(struct checking *c, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    uint64_t total = 0;

    c->sizes = calloc(c->packs.n + 1, sizeof *c->sizes);
    if (!c->sizes)
        return err_nomem(err);
    for (size_t i = 0; i < c->packs.n; i++) {
        c->sizes[i] = 4096;
        if (c->read[i] && backend_stat(c->store->env.backend, object_name_path("packs", &c->packs.list[i], path), &st, NULL) == 0)
            c->sizes[i] = st.size;
        total += c->sizes[i];
    }
    return progress_task_new(c->options->progress, "packs", total, &c->task, err);
}

/* Segments of suspect packs that were looked at. */
struct looking {
    struct checking *c;
    struct looked {
        struct object_name pack;
        uint32_t off;
        bool bad;
    } * list;
    size_t n;
};

static int packs_look_at(struct looking *x, const struct location *at, bool *ret_bad)
{
    _cleanup_(segment_unref_p) struct segment_data *d = NULL;

    for (size_t i = 0; i < x->n; i++)
        if (x->list[i].off == at->off && memcmp(&x->list[i].pack, &at->pack, sizeof at->pack) == 0) {
            *ret_bad = x->list[i].bad;
            return 0;
        }
    struct looked *list = reallocarray(x->list, x->n + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    x->list = list;
    *ret_bad = pack_read_segment(&x->c->store->env, &at->pack, at->off, at->len, &d, NULL) < 0;
    list[x->n++] = (struct looked){ at->pack, at->off, *ret_bad };
    return 0;
}

static int look_closer(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct looking *x = priv;
    bool bad = false;

    (void)at;
    if (!names_has(&x->c->suspect, &e->at.pack))
        return 0;
    int r = packs_look_at(x, &e->at, &bad);
    if (r == 0 && bad && !is_elsewhere(x->c, e->id.b, &e->at.pack, e->at.off))
        r = add_bad(x->c, e->id.b);
    return r < 0 ? err_errno(err, -r, "cannot check") : 0;
}

static int check_suspects(struct checking *c, struct err *err)
{
    struct looking x = { .c = c };
    struct err why = ERR_INIT;

    if (c->suspect.n == 0)
        return 0;
    names_sort(&c->suspect);
    int r = index_set_each(c->set, look_closer, &x, &why);
    free(x.list);
    return r < 0 && r != -EUCLEAN ? err_move(err, &why) : 0; /* a damaged index was told already */
}

static int check_packs(struct checking *c, struct err *err)
{
    int r = packs_choose(c, err);

    if (r == 0)
        r = start_progress(c, err);
    if (r == 0 && c->packs.n)
        r = pool_split(c->store->env.pool, c->packs.n, check_pack, c, err);
    progress_end(c->task);
    return r == 0 ? check_suspects(c, err) : r;
}

/* ---- index ----------------------------------------------------------------------------------------------------------------*/

static int packs_check_entry(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct checking *c = priv;

    (void)at;
    if (!lost_packs_has(c->set->lost, &e->at) || names_has(&c->missing, &e->at.pack) || is_elsewhere(c, e->id.b, &e->at.pack, e->at.off))
        return 0;
    if (names_add(&c->missing, &e->at.pack) < 0)
        return err_nomem(err);
    names_sort(&c->missing);
    return 0;
}

static int names_all_there(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct checking *c = priv;

    (void)at;
    (void)err;
    return names_has(&c->packs, &e->at.pack) ? 0 : -EAGAIN;
}

/* The index is read before the packs are listed: every pack it names must be there. Where one is not, a prune may have put another
 * index in force in between, so both are read once more. */
static int read_index(struct checking *c, size_t *ret_bad, struct err *err)
{
    int r = -EAGAIN;

    for (unsigned tries = 0; r == -EAGAIN && tries < 2; tries++) {
        names_free(&c->packs);
        r = index_look(c->store->index, err);
        if (r == 0)
            r = index_reload(c->store->index, ret_bad, err);
        if (r == 0)
            r = names_list(&c->store->env, "packs", &c->packs, err);
        if (r < 0)
            return r;
        _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(c->store->index);
        r = index_set_each(set, names_all_there, c, NULL);
    }
    return 0; /* what is still wrong is told later */
}

static int check_index(struct checking *c, struct err *err)
{
    struct err why = ERR_INIT;
    size_t bad = 0;
    int r = read_index(c, &bad, err);

    if (r < 0)
        return r;
    if (bad)
        check_tell(c, NULL, NULL, "%zu index files are damaged; run `kvss repair index` to rebuild the index", bad);
    c->set = index_set_get(c->store->index);
    r = c->set->lost ? index_set_each(c->set, packs_check_entry, c, &why) : 0;
    if (r == 0)
        r = index_set_packs(c->set, &c->named, &why);
    if (r == -EUCLEAN) {
        check_tell(c, NULL, NULL, "%s", why.text);
        r = 0;
    }
    for (size_t i = 0; i < c->packs.n; i++)
        c->result.unused_packs += !names_has(&c->named, &c->packs.list[i]);
    return r < 0 ? err_move(err, &why) : 0;
}

/* Packs that are lost with something that the index has nowhere else. Only the walk over the points tells whether that matters: an index
 * file from before a prune, put back, names what nobody needs. */
static void tell_lost(struct checking *c)
{
    char hex[2 * OBJECT_NAME_LEN + 1];
    size_t cut = 0;

    for (size_t i = 0; i < c->missing.n; i++) {
        const struct object_name *pack = &c->missing.list[i];
        bool there = names_has(&c->packs, pack);
        crypt_hex(pack->b, sizeof pack->b, hex);
        cut += there;
        if (c->result.points_damaged)
            check_tell(c, NULL, NULL,
                       there ? "packs/%s is truncated; the index lists chunks beyond its end"
                             : "packs/%s is missing; the index lists chunks in it",
                       hex);
    }
    if (!c->result.points_damaged && c->missing.n)
        check_warn(c,
                   "packs listed in the index are missing (%zu) or truncated (%zu), packs/%s for example, as happens when an old index is "
                   "restored; no restore point needs their data; kvss prune tidies up",
                   c->missing.n - cut, cut, hex);
}

/* What restore points lack may be in packs that no index names. */
static void tell_unnamed(struct checking *c)
{
    if (c->aside)
        check_warn(c,
                   "restore points need packs that no index file lists, as after an interrupted prune, or when an index file was removed; "
                   "they can be read; kvss prune or kvss repair index lists them again");
    else if (c->result.points_damaged && c->result.unused_packs && c->unknown)
        check_warn(c,
                   "restore points need chunks that are not in the index, and %llu packs are not in it either: an index file was probably "
                   "removed; kvss repair index rebuilds the index from the packs",
                   (unsigned long long)c->result.unused_packs);
}

int store_check(struct store *s, const struct store_check *options, void (*fn)(void *priv, const struct store_problem *p), void *priv,
                struct store_check_result *ret, struct err *err)
{
    struct checking c = { .store = s, .options = options, .fn = fn, .priv = priv };

    pthread_mutex_init(&c.lock, NULL);
    int r = check_index(&c, err);
    if (r == 0)
        r = check_packs(&c, err);
    if (r == 0)
        r = check_points(&c, err);
    if (r == 0) {
        tell_lost(&c);
        tell_unnamed(&c);
    }
    if (r == 0)
        *ret = c.result;
    pthread_mutex_destroy(&c.lock);
    names_free(&c.packs);
    names_free(&c.named);
    names_free(&c.missing);
    names_free(&c.suspect);
    index_set_unref(c.set);
    fresh_free(&c.bad);
    free(c.read);
    free(c.sizes);
    return r;
}
