/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/pack/pack.h"
#include "base/num.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

void segment_unref(struct segment_data *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->ids);
    free(s);
}

/* Turns what a read or a check returned into the store's results: bytes that are not as written are -EUCLEAN. */
static int pack_damaged(int r, const struct object_name *pack, uint32_t off, struct err *err)
{
    char path[OBJECT_PATH_SIZE];

    object_name_path("packs", pack, path);
    switch (r) {
    case -ENODATA: return err_set(err, EUCLEAN, "%s is damaged: it ends before offset %u", path, off);
    case -EBADMSG: return err_set(err, EUCLEAN, "%s is damaged at offset %u: the data differs from what was written", path, off);
    case -EPROTONOSUPPORT: return err_set(err, EPROTONOSUPPORT, "%s was written by a newer kvss", path);
    case -ENOMEM: return err_nomem(err);
    default: return r; /* the backend has said it */
    }
}

static int pack_read_key(struct env *env, const struct object_name *pack, struct crypt_object *ret, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    uint8_t header[CRYPT_HEADER_LEN];
    int r = backend_get(env->backend, object_name_path("packs", pack, path), 0, header, sizeof header, err);

    if (r == 0)
        r = object_header_check(header, sizeof header, PACK_MAGIC, pack->b);
    if (r == 0)
        r = crypt_object_init(env->crypt, header, ret);
    return pack_damaged(r, pack, 0, err);
}

/* The key of a pack follows from its name and epoch: its header has no other contents. */
static int pack_key(struct env *env, const struct object_name *pack, struct crypt_object *ret, struct err *err)
{
    uint8_t header[CRYPT_HEADER_LEN];
    unsigned epoch;
    int r = ring_pack_epoch(env, pack, &epoch, err);

    if (r < 0)
        return r;
    object_header(PACK_MAGIC, pack->b, epoch, header);
    return crypt_object_init(env->crypt, header, ret);
}

static struct segment_data *pack_segment_new(const struct segment_view *v)
{
    struct segment_data *s = malloc(sizeof *s + v->raw);
    struct chunk_id *ids = calloc(v->n, sizeof *ids);

    if (!s || !ids) {
        free(s);
        free(ids);
        return NULL;
    }
    memset(s, 0, sizeof *s); /* not the chunks: half a megabyte that is about to be filled */
    pthread_mutex_init(&s->lock, NULL);
    s->ids = ids;
    s->refs = 1;
    s->n = v->n;
    for (unsigned i = 0; i < v->n; i++)
        s->off[i + 1] = s->off[i] + v->len[i];
    return s;
}

static int expand(struct env *env, const uint8_t *plain, size_t n, struct segment_data **ret)
{
    struct segment_view v;
    int r = segment_parse(plain, n, &v);

    if (r < 0)
        return r;
    _cleanup_(segment_unref_p) struct segment_data *s = pack_segment_new(&v);
    if (!s)
        return -ENOMEM;
    if (v.method == SEGMENT_RAW)
        memcpy(s->raw, v.payload, v.raw);
    else
        r = zip_unpack(env->zip, v.payload, v.payload_len, s->raw, v.raw);
    if (r == 0)
        *ret = TAKE_PTR(s);
    return r;
}

int pack_read_segment(struct env *env, const struct object_name *pack, uint32_t off, uint32_t len, struct segment_data **ret,
                      struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    struct crypt_object key = { 0 };

    if (len < SEGMENT_HEAD(1) + CRYPT_TAG_LEN || len > SEGMENT_UNIT_MAX)
        return pack_damaged(-EBADMSG, pack, off, err);
    _cleanup_free_ uint8_t *bytes = malloc(len);
    if (!bytes)
        return pack_damaged(-ENOMEM, pack, off, err);
    int r = backend_get(env->backend, object_name_path("packs", pack, path), off, bytes, len, err);
    if (r < 0)
        return pack_damaged(r, pack, off, err);
    r = pack_key(env, pack, &key, err);
    if (r == 0)
        r = crypt_open(env->crypt, &key, off, bytes, len, bytes);
    crypt_object_wipe(&key);
    if (r == 0)
        r = expand(env, bytes, len - CRYPT_TAG_LEN, ret);
    if (r < 0)
        return r == -EIO ? err_set(err, EIO, "cannot decrypt %s", path) : pack_damaged(r, pack, off, err);
    return 0;
}

/* Hashing is the dear part, so a chunk is hashed once and its id kept. */
static int known_id(struct env *env, struct segment_data *s, unsigned ordinal, enum crypt_kind kind, struct chunk_id *ret)
{
    pthread_mutex_lock(&s->lock);
    bool known = s->verified[ordinal];
    *ret = s->ids[ordinal];
    pthread_mutex_unlock(&s->lock);
    return known ? 0 : crypt_id(env->crypt, kind, s->raw + s->off[ordinal], s->off[ordinal + 1] - s->off[ordinal], ret);
}

int segment_chunk(struct env *env, struct segment_data *s, unsigned ordinal, const struct chunk_ref *want, const uint8_t **ret,
                  size_t *ret_len, struct err *err)
{
    char hex[2 * CRYPT_ID_LEN + 1];
    struct chunk_id have;

    crypt_hex(want->id.b, sizeof want->id.b, hex);
    if (ordinal >= s->n)
        return err_set(err, EUCLEAN, "chunk %s is not at the location given by the index", hex);
    int r = known_id(env, s, ordinal, want->kind, &have);
    if (r < 0)
        return err_errno(err, -r, "cannot check chunk %s", hex);
    if (memcmp(&have, &want->id, sizeof have) != 0)
        return err_set(err, EUCLEAN, "chunk %s is damaged: its contents do not match its ID", hex);
    pthread_mutex_lock(&s->lock);
    s->ids[ordinal] = have;
    s->verified[ordinal] = true;
    pthread_mutex_unlock(&s->lock);
    *ret = s->raw + s->off[ordinal];
    *ret_len = s->off[ordinal + 1] - s->off[ordinal];
    return 0;
}

/* ---- footers --------------------------------------------------------------------------------------------------------------*/

static int read_footer(struct env *env, const struct object_name *pack, struct buf *ret, uint64_t *ret_end, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    uint8_t tail[OBJECT_TAIL_LEN];
    struct crypt_object key;
    struct backend_stat st;
    uint32_t len;
    int r = backend_stat(env->backend, object_name_path("packs", pack, path), &st, err);

    if (r < 0)
        return r;
    if (st.size < CRYPT_HEADER_LEN + CRYPT_TAG_LEN + OBJECT_TAIL_LEN || st.size > PACK_SIZE_MAX)
        return pack_damaged(-EBADMSG, pack, 0, err);
    uint64_t at = st.size - OBJECT_TAIL_LEN;
    r = backend_get(env->backend, path, at, tail, sizeof tail, err);
    if (r == 0)
        r = object_tail_check(tail, st.size, PACK_SIZE_MAX, &len);
    if (r < 0)
        return pack_damaged(r, pack, (uint32_t)at, err);
    at -= len;
    if (buf_reserve(ret, len) < 0)
        return pack_damaged(-ENOMEM, pack, 0, err);
    r = backend_get(env->backend, path, at, ret->data, len, err);
    if (r == 0)
        r = pack_read_key(env, pack, &key, err);
    if (r < 0)
        return pack_damaged(r, pack, (uint32_t)at, err);
    r = crypt_open(env->crypt, &key, at | PACK_FOOTER_UNIT, ret->data, len, ret->data);
    crypt_object_wipe(&key);
    ret->len = len - CRYPT_TAG_LEN;
    *ret_end = at;
    return pack_damaged(r, pack, (uint32_t)at, err);
}

/* Segments must follow each other without gaps, so that every byte of a pack is accounted for. */
struct contiguous {
    int (*fn)(void *priv, const struct footer_segment *s);
    void *priv;
    uint64_t next; /* where the next frame must begin */
};

static int walk_one(void *priv, const struct footer_segment *s)
{
    struct contiguous *c = priv;

    if (s->off != c->next + 4)
        return -EBADMSG;
    c->next = (uint64_t)s->off + s->len;
    return c->fn(c->priv, s);
}

int pack_walk(struct env *env, const struct object_name *pack, int (*fn)(void *priv, const struct footer_segment *s), void *priv,
              struct err *err)
{
    struct contiguous c = { fn, priv, CRYPT_HEADER_LEN };
    _cleanup_buf_ struct buf footer = BUF_INIT;
    uint64_t end = 0;
    int r = read_footer(env, pack, &footer, &end, err);

    if (r < 0)
        return r;
    r = footer_parse(footer.data, footer.len, end, walk_one, &c);
    if (r == 0 && c.next != end)
        r = -EBADMSG;
    return pack_damaged(r, pack, (uint32_t)end, err);
}
