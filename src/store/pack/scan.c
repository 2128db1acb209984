/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/pack/scan.h"
#include "base/num.h"
#include "base/par.h"
#include <errno.h>
#include <string.h>

struct scanning {
    const struct scan *x;
    const struct object_name *pack;
    struct err err;
};

/* A pack does not say which of its chunks are nodes; the id does. */
static bool scan_matches(struct env *env, const struct segment_data *d, unsigned i, const uint8_t *id)
{
    const uint8_t *p = d->raw + d->off[i];
    size_t n = d->off[i + 1] - d->off[i];
    struct chunk_id have;

    return (crypt_id(env->crypt, CRYPT_CHUNK, p, n, &have) == 0 && memcmp(have.b, id, sizeof have.b) == 0) ||
           (crypt_id(env->crypt, CRYPT_NODE, p, n, &have) == 0 && memcmp(have.b, id, sizeof have.b) == 0);
}

/* The frame's length serves only those who read the pack without its footer, so nobody else would see it damaged. */
static bool frame_ok(struct env *env, const struct object_name *pack, const struct footer_segment *s)
{
    char path[OBJECT_PATH_SIZE];
    uint8_t head[4];

    return backend_get(env->backend, object_name_path("packs", pack, path), s->off - 4, head, sizeof head, NULL) == 0 &&
           num_get_le32(head) == s->len;
}

static int scan_segment(void *priv, const struct footer_segment *s)
{
    struct scanning *g = priv;
    _cleanup_(segment_unref_p) struct segment_data *d = NULL;
    bool bad[SEGMENT_CHUNKS] = { false };
    struct err why = ERR_INIT;

    if (par_cancelled(g->x->cancel))
        return err_set(&g->err, ECANCELED, "cancelled");
    int r = pack_read_segment(g->x->env, g->pack, s->off, s->len, &d, &why);
    if (r < 0 && r != -EUCLEAN && r != -EIO && r != -ENOENT)
        return err_move(&g->err, &why);
    bool fits = d && d->n == s->n && frame_ok(g->x->env, g->pack, s);
    for (unsigned i = 0; i < s->n; i++) {
        bad[i] = !fits || !scan_matches(g->x->env, d, i, footer_chunk(s, i));
        if (bad[i] && !why.code)
            err_set(&why, EUCLEAN, "the contents do not match the ID");
    }
    r = g->x->segment(g->x->priv, s, bad, &why);
    return r < 0 ? err_errno(&g->err, -r, "cannot check a pack") : 0;
}

int scan_pack(const struct scan *x, const struct object_name *pack, struct err *err)
{
    struct scanning g = { x, pack, ERR_INIT };
    int r = pack_walk(x->env, pack, scan_segment, &g, err);

    return r < 0 && g.err.code ? err_move(err, &g.err) : r;
}

/* One segment as a footer would tell it; every chunk under both ids it may have. */
static int tell_segment(struct env *env, const struct segment_data *d, uint32_t off, uint32_t len,
                        int (*fn)(void *priv, const struct footer_segment *s), void *priv)
{
    uint8_t chunks[SEGMENT_CHUNKS * FOOTER_CHUNK_LEN];
    struct footer_segment s = { off, len, d->n, chunks };

    for (unsigned kind = 0; kind < 2; kind++) {
        for (unsigned i = 0; i < d->n; i++) {
            uint8_t *p = chunks + (size_t)i * FOOTER_CHUNK_LEN;
            uint32_t n = d->off[i + 1] - d->off[i];
            struct chunk_id id;
            int r = crypt_id(env->crypt, kind ? CRYPT_NODE : CRYPT_CHUNK, d->raw + d->off[i], n, &id);
            if (r < 0)
                return r;
            memcpy(p, id.b, sizeof id.b);
            num_put_le32(p + CRYPT_ID_LEN, n);
        }
        int r = fn(priv, &s);
        if (r < 0)
            return r;
    }
    return 0;
}

int scan_frames(struct env *env, const struct object_name *pack, int (*fn)(void *priv, const struct footer_segment *s), void *priv,
                struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    uint8_t head[4];
    int r = backend_stat(env->backend, object_name_path("packs", pack, path), &st, err);

    for (uint64_t at = CRYPT_HEADER_LEN; r == 0 && at + 4 < num_min(st.size, PACK_SIZE_MAX);) {
        _cleanup_(segment_unref_p) struct segment_data *d = NULL;
        if (backend_get(env->backend, path, at, head, sizeof head, NULL) < 0)
            return 0;
        uint32_t len = num_get_le32(head);
        r = pack_read_segment(env, pack, (uint32_t)at + 4, len, &d, NULL);
        if (r == -EUCLEAN)
            return 0; /* the footer begins here, or the damage */
        if (r == 0)
            r = tell_segment(env, d, (uint32_t)at + 4, len, fn, priv);
        if (r < 0)
            return err_errno(err, -r, "cannot read %s", path);
        at += 4 + (uint64_t)len;
    }
    return r;
}
