/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/point/point.h"
#include "base/num.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

void point_data_free(struct point_data *d)
{
    free(d->meta);
    free(d->streams);
    *d = (struct point_data){ 0 };
}

bool point_is_original(const struct point_data *d)
{
    static const struct chunk_id none;

    return memcmp(&d->origin, &none, sizeof none) == 0;
}

int point_data_add(struct point_data *d, const struct point_stream *s)
{
    if (d->n >= POINT_STREAMS_MAX)
        return -E2BIG;
    if ((d->n & (d->n - 1)) == 0) { /* 0, 1, 2, 4 ...: full */
        struct point_stream *bigger = reallocarray(d->streams, d->n ? d->n * 2 : 1, sizeof *bigger);
        if (!bigger)
            return -ENOMEM;
        d->streams = bigger;
    }
    d->streams[d->n++] = *s;
    return 0;
}

const struct point_stream *point_data_find(const struct point_data *d, enum stream_kind kind, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->streams[i].kind == kind && strcmp(d->streams[i].name, name) == 0)
            return &d->streams[i];
    return NULL;
}

static bool part_ok(const char *p, size_t n)
{
    return n > 0 && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
}

bool point_name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > STORE_NAME_MAX)
        return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    for (const char *p = name;; p++) {
        size_t n = strcspn(p, "/");
        if (!part_ok(p, n))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

/* ---- bytes ----------------------------------------------------------------------------------------------------------------*/

static int encode_stream(const struct point_stream *s, struct buf *b)
{
    uint8_t size[8], head[4] = { (uint8_t)s->kind, (uint8_t)s->root.level, s->root.present, (uint8_t)strlen(s->name) };

    num_put_le64(size, s->size);
    int r = buf_add(b, head, sizeof head);
    if (r == 0)
        r = buf_add(b, s->name, strlen(s->name));
    if (r == 0)
        r = buf_add(b, size, sizeof size);
    if (r == 0 && s->root.present)
        r = buf_add(b, s->root.id.b, sizeof s->root.id.b);
    return r;
}

int point_encode(const struct point_data *d, struct buf *ret)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    size_t meta = strlen(d->meta);
    uint8_t number[8 + CRYPT_ID_LEN + 4];

    if (meta > POINT_BYTES_MAX / 2)
        return -EFBIG;
    num_put_le32(number, (uint32_t)meta);
    int r = buf_add(&b, number, 4);
    if (r == 0)
        r = buf_add(&b, d->meta, meta);
    num_put_le64(number, (uint64_t)d->time_us);
    memcpy(number + 8, d->origin.b, CRYPT_ID_LEN);
    num_put_le32(number + 8 + CRYPT_ID_LEN, (uint32_t)d->n);
    if (r == 0)
        r = buf_add(&b, number, sizeof number);
    for (size_t i = 0; r == 0 && i < d->n; i++)
        r = encode_stream(&d->streams[i], &b);
    if (r == 0 && b.len > POINT_BYTES_MAX)
        r = -EFBIG;
    if (r < 0)
        return r;
    *ret = b;
    b = (struct buf)BUF_INIT;
    return 0;
}

/* Bytes not read yet. */
struct point_cursor {
    const uint8_t *p;
    size_t n;
};

static const uint8_t *point_take(struct point_cursor *c, size_t n)
{
    const uint8_t *p = c->p;

    if (c->n < n)
        return NULL;
    c->p += n;
    c->n -= n;
    return p;
}

static bool stream_ok(const struct point_stream *s, const uint8_t *head)
{
    uint64_t max = s->kind == STREAM_DOCUMENT ? DOCUMENT_MAX : IMAGE_MAX;

    return (head[0] == STREAM_DOCUMENT || head[0] == STREAM_IMAGE) && head[1] <= NODE_LEVEL_MAX && head[2] <= 1 && s->size <= max &&
           (int)s->root.level == node_level_for(num_div_up(s->size, CHUNK_SIZE)) && point_name_ok(s->name);
}

static int parse_stream(struct point_cursor *c, struct point_data *d)
{
    struct point_stream s = { 0 };
    const uint8_t *head = point_take(c, 4), *name = head ? point_take(c, head[3]) : NULL, *size = name ? point_take(c, 8) : NULL;
    const uint8_t *id = size && head[2] ? point_take(c, CRYPT_ID_LEN) : NULL;

    if (!size || (head[2] && !id) || memchr(name, 0, head[3]))
        return -EBADMSG;
    s.kind = head[0];
    s.root.level = head[1];
    s.root.present = head[2];
    memcpy(s.name, name, head[3]);
    s.size = num_get_le64(size);
    if (id)
        memcpy(s.root.id.b, id, CRYPT_ID_LEN);
    if (!stream_ok(&s, head))
        return -EBADMSG;
    return point_data_add(d, &s);
}

int point_parse(const uint8_t *p, size_t n, struct point_data *ret)
{
    _cleanup_point_data_ struct point_data d = { 0 };
    struct point_cursor c = { p, n };
    const uint8_t *len = point_take(&c, 4), *meta = len ? point_take(&c, num_get_le32(len)) : NULL;
    const uint8_t *fixed = meta ? point_take(&c, 8 + CRYPT_ID_LEN + 4) : NULL;

    if (!fixed || n > POINT_BYTES_MAX || memchr(meta, 0, num_get_le32(len)))
        return -EBADMSG;
    d.time_us = (int64_t)num_get_le64(fixed);
    memcpy(d.origin.b, fixed + 8, CRYPT_ID_LEN);
    uint32_t count = num_get_le32(fixed + 8 + CRYPT_ID_LEN);
    d.meta = strndup((const char *)meta, num_get_le32(len));
    int r = !d.meta ? -ENOMEM : count > POINT_STREAMS_MAX ? -EBADMSG : 0;
    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = parse_stream(&c, &d);
    if (r < 0)
        return r == -E2BIG ? -EBADMSG : r;
    if (c.n != 0)
        return -EBADMSG;
    *ret = d;
    d = (struct point_data){ 0 };
    return 0;
}

/* ---- objects --------------------------------------------------------------------------------------------------------------*/

/* u8 method | u8 0 | u16 0 | u32 raw length | payload */
static int pack_payload(struct env *env, const struct buf *raw, struct buf *ret)
{
    size_t room = zip_bound(raw->len);

    if (buf_reserve(ret, 8 + room + CRYPT_TAG_LEN) < 0)
        return -ENOMEM;
    size_t n = zip_pack(env->zip, raw->data, raw->len, ret->data + 8, room);
    memset(ret->data, 0, 8);
    ret->data[0] = n ? 1 : 0;
    num_put_le32(ret->data + 4, (uint32_t)raw->len);
    if (n == 0) {
        n = raw->len;
        memcpy(ret->data + 8, raw->data, n);
    }
    ret->len = 8 + n;
    return 0;
}

static int unpack_payload(struct env *env, const uint8_t *p, size_t n, struct point_data *ret)
{
    if (n < 8 || p[0] > 1 || p[1] || p[2] || p[3])
        return -EBADMSG;
    uint32_t raw = num_get_le32(p + 4);
    if (raw > POINT_BYTES_MAX || (p[0] == 0 && raw != n - 8))
        return -EBADMSG;
    if (p[0] == 0)
        return point_parse(p + 8, raw, ret);
    _cleanup_free_ uint8_t *bytes = malloc(raw + 1);
    if (!bytes)
        return -ENOMEM;
    int r = zip_unpack(env->zip, p + 8, n - 8, bytes, raw);
    return r < 0 ? r : point_parse(bytes, raw, ret);
}

int point_prepare(struct env *env, const struct point_data *d, struct chunk_id *ret_id, struct backend_prepared *ret, struct err *err)
{
    _cleanup_buf_ struct buf raw = BUF_INIT, body = BUF_INIT, object = BUF_INIT;
    uint8_t header[CRYPT_HEADER_LEN], salt[CRYPT_SALT_LEN];
    char path[OBJECT_PATH_SIZE];
    struct crypt_object key;
    struct chunk_id id;
    int r = crypt_random(salt, sizeof salt);

    object_header(POINT_MAGIC, salt, crypt_epoch(env->crypt), header);
    if (r == 0)
        r = crypt_object_init(env->crypt, header, &key);
    if (r == 0)
        r = point_encode(d, &raw);
    if (r == 0)
        r = pack_payload(env, &raw, &body);
    if (r == 0)
        r = buf_reserve(&object, sizeof header + body.len + CRYPT_TAG_LEN);
    if (r == 0) {
        memcpy(object.data, header, sizeof header);
        r = crypt_seal(env->crypt, &key, 0, body.data, body.len, object.data + sizeof header);
        object.len = sizeof header + body.len + CRYPT_TAG_LEN;
    }
    if (r == 0)
        r = crypt_sha256(env->crypt, object.data, object.len, &id);
    crypt_object_wipe(&key);
    if (r < 0)
        return err_errno(err, -r, "cannot create the restore point");
    r = backend_prepare(env->backend, object_path("points", id.b, sizeof id.b, path), object.data, object.len, ret, err);
    if (r == 0)
        *ret_id = id;
    return r;
}

static int point_open_object(struct env *env, const struct chunk_id *id, struct buf *object, struct point_data *ret)
{
    struct crypt_object key;
    struct chunk_id have;
    int r = crypt_sha256(env->crypt, object->data, object->len, &have);

    if (r < 0 || memcmp(&have, id, sizeof have) != 0)
        return r < 0 ? r : -EBADMSG;
    r = object_header_check(object->data, object->len, POINT_MAGIC, NULL);
    /* Who has an older master key could have made it since. */
    if (r == 0 && crypt_header_epoch(object->data) < crypt_epoch(env->crypt) && !ring_has_point(env->ring, id))
        r = -EKEYREVOKED;
    if (r == 0)
        r = crypt_object_init(env->crypt, object->data, &key);
    if (r < 0)
        return r;
    uint8_t *body = object->data + CRYPT_HEADER_LEN;
    r = crypt_open(env->crypt, &key, 0, body, object->len - CRYPT_HEADER_LEN, body);
    crypt_object_wipe(&key);
    return r < 0 ? r : unpack_payload(env, body, object->len - CRYPT_HEADER_LEN - CRYPT_TAG_LEN, ret);
}

int point_get(struct env *env, const struct chunk_id *id, struct point_data *ret, struct err *err)
{
    _cleanup_buf_ struct buf object = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    int r = backend_read(env->backend, object_path("points", id->b, sizeof id->b, path), POINT_BYTES_MAX, &object, err);

    if (r == -EFBIG)
        r = -EBADMSG;
    else if (r < 0)
        return r;
    else
        r = point_open_object(env, id, &object, ret);
    if (r == -EPROTONOSUPPORT)
        return err_set(err, EPROTONOSUPPORT, "restore point %s was written by a newer kvss", path + 7);
    if (r == -EKEYREVOKED)
        return err_set(err, EUCLEAN, "restore point %s is not trusted: it was created with a master key that had already been rotated out",
                       path + 7);
    if (r == -EBADMSG)
        return err_set(err, EUCLEAN, "restore point %s is damaged: the data differs from what was written", path + 7);
    return r < 0 ? err_errno(err, -r, "cannot read restore point %s", path + 7) : 0;
}

int point_list(struct env *env, struct chunk_id **ret, size_t *ret_n, struct err *err)
{
    return object_ids(env, "points", SIZE_MAX, ret, ret_n, err);
}
