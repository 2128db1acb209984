/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/ring.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

#define FIXED 8 /* u32 epoch | u32 number of restore points */
#define RING_BYTES_MAX (FIXED + CRYPT_EPOCH_MAX * CRYPT_KEY_LEN + RING_POINTS_MAX * CRYPT_ID_LEN + CRYPT_HEADER_LEN + CRYPT_TAG_LEN)

static int id_compare(const void *a, const void *b)
{
    return memcmp(a, b, CRYPT_ID_LEN);
}

void ring_free(struct ring *ring)
{
    if (ring)
        free(ring->points);
    free(ring);
}

bool ring_has_point(const struct ring *ring, const struct chunk_id *id)
{
    return ring && ring->n && bsearch(id, ring->points, ring->n, sizeof *id, id_compare);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------------------*/

/* The sealed object, into `object`, whose room suffices. The payload has secrets in it: it is sealed where it stands. */
static int ring_seal(struct crypt *crypt, const struct ring_content *c, uint8_t *object, size_t *ret_n)
{
    uint8_t salt[CRYPT_SALT_LEN], *p = object + CRYPT_HEADER_LEN;
    size_t keys = (size_t)c->epoch * CRYPT_KEY_LEN, len = FIXED + keys + c->n * CRYPT_ID_LEN;
    struct crypt_object key = { 0 };
    int r = crypt_random(salt, sizeof salt);

    /* Epoch 0: its reader knows no older keys yet, and takes the only one it has. */
    object_header(RING_MAGIC, salt, 0, object);
    num_put_le32(p, c->epoch);
    num_put_le32(p + 4, (uint32_t)c->n);
    memcpy(p + FIXED, c->masters, keys);
    if (c->n)
        memcpy(p + FIXED + keys, c->points, c->n * CRYPT_ID_LEN);
    if (r == 0)
        r = crypt_object_init(crypt, object, &key);
    if (r == 0)
        r = crypt_seal(crypt, &key, 0, p, len, p);
    crypt_object_wipe(&key);
    *ret_n = CRYPT_HEADER_LEN + len + CRYPT_TAG_LEN;
    return r;
}

int ring_put(struct env *env, struct crypt *crypt, const struct ring_content *content, struct chunk_id *ret_name, struct err *err)
{
    size_t room = CRYPT_HEADER_LEN + FIXED + (size_t)content->epoch * CRYPT_KEY_LEN + content->n * CRYPT_ID_LEN + CRYPT_TAG_LEN, len = 0;
    char path[OBJECT_PATH_SIZE];

    if (content->epoch > CRYPT_EPOCH_MAX || content->n > RING_POINTS_MAX)
        return err_set(err, E2BIG, "the master key was rotated too often, or there are too many restore points");
    uint8_t *object = crypt_secret_new(room, NULL);
    if (!object)
        return err_nomem(err);
    if (content->n)
        qsort(content->points, content->n, sizeof *content->points, id_compare);
    int r = ring_seal(crypt, content, object, &len);
    if (r == 0)
        r = crypt_sha256(crypt, object, len, ret_name);
    if (r < 0)
        err_errno(err, -r, "cannot keep the older master keys");
    else
        r = backend_put(env->backend, object_path("ring", ret_name->b, sizeof ret_name->b, path), object, len, BACKEND_REPLACE, err);
    crypt_secret_free(object, room);
    return r;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------------------*/

int ring_parse(const uint8_t *p, size_t n, unsigned epoch, struct ring **ret, const uint8_t **ret_masters)
{
    size_t keys = (size_t)epoch * CRYPT_KEY_LEN;

    if (n < FIXED + keys || num_get_le32(p) != epoch)
        return -EBADMSG;
    size_t count = num_get_le32(p + 4);
    if (count > RING_POINTS_MAX || n != FIXED + keys + count * CRYPT_ID_LEN)
        return -EBADMSG;
    const uint8_t *ids = p + FIXED + keys;
    for (size_t i = 1; i < count; i++)
        if (memcmp(ids + (i - 1) * CRYPT_ID_LEN, ids + i * CRYPT_ID_LEN, CRYPT_ID_LEN) >= 0)
            return -EBADMSG;
    struct ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    ring->n = count;
    ring->points = calloc(count + 1, sizeof *ring->points);
    if (!ring->points) {
        ring_free(ring);
        return -ENOMEM;
    }
    memcpy(ring->points, ids, count * CRYPT_ID_LEN);
    *ret = ring;
    *ret_masters = p + FIXED;
    return 0;
}

/* The payload, into plain, which has room for the object. */
static int ring_open_object(struct env *env, const struct chunk_id *name, const struct buf *object, uint8_t *plain)
{
    struct crypt_object key = { 0 };
    struct chunk_id have;
    int r = crypt_sha256(env->crypt, object->data, object->len, &have);

    if (r == 0 && memcmp(&have, name, sizeof have) != 0)
        r = -EBADMSG;
    if (r == 0)
        r = object_header_check(object->data, object->len, RING_MAGIC, NULL);
    if (r == 0)
        r = crypt_object_init(env->crypt, object->data, &key);
    if (r == 0)
        r = crypt_open(env->crypt, &key, 0, object->data + CRYPT_HEADER_LEN, object->len - CRYPT_HEADER_LEN, plain);
    crypt_object_wipe(&key);
    return r;
}

static int open_ring(struct env *env, const struct chunk_id *name, unsigned epoch, const struct buf *object)
{
    const uint8_t *masters = NULL;
    struct ring *ring = NULL;
    uint8_t *plain = crypt_secret_new(object->len, NULL);
    int r = plain ? ring_open_object(env, name, object, plain) : -ENOMEM;

    if (r == 0)
        r = ring_parse(plain, object->len - CRYPT_HEADER_LEN - CRYPT_TAG_LEN, epoch, &ring, &masters);
    if (r == 0)
        r = crypt_add_older(env->crypt, masters, epoch);
    crypt_secret_free(plain, object->len);
    if (r < 0)
        ring_free(ring);
    else
        env->ring = ring;
    return r;
}

int ring_load(struct env *env, const struct chunk_id *name, unsigned epoch, struct err *err)
{
    _cleanup_buf_ struct buf object = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    int r = backend_read(env->backend, object_path("ring", name->b, sizeof name->b, path), RING_BYTES_MAX, &object, err);

    if (r < 0 && r != -ENOENT && r != -EFBIG)
        return r;
    if (r == 0)
        r = object.len < CRYPT_HEADER_LEN + CRYPT_TAG_LEN + FIXED ? -EBADMSG : open_ring(env, name, epoch, &object);
    if (r == -ENOENT || r == -EFBIG || r == -EBADMSG)
        return err_set(err, EUCLEAN, "%s is %s: the repository cannot be read without the master keys in it; restore it from a copy", path,
                       r == -ENOENT ? "missing" : "damaged");
    return r < 0 ? err_errno(err, -r, "cannot read %s", path) : 0;
}

/* ---- Epochs of packs ----------------------------------------------------------------------------------------------------------*/

int ring_pack_epoch(struct env *env, const struct object_name *pack, unsigned *ret, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    uint8_t header[CRYPT_HEADER_LEN];

    *ret = 0;
    if (!env->ring)
        return 0;
    uint64_t name = num_get_le64(pack->b) & ~UINT64_C(0xffff), slot = num_get_le64(pack->b) % RING_PACKS;
    uint64_t known = atomic_load_explicit(&env->ring->packs[slot], memory_order_relaxed);
    if ((known & 0xffff) && (known & ~UINT64_C(0xffff)) == name) {
        *ret = (unsigned)(known & 0xffff) - 1;
        return 0;
    }
    int r = backend_get(env->backend, object_name_path("packs", pack, path), 0, header, sizeof header, err);
    if (r == 0)
        r = object_header_check(header, sizeof header, PACK_MAGIC, pack->b);
    if (r < 0)
        return r;
    *ret = crypt_header_epoch(header);
    if (*ret <= CRYPT_EPOCH_MAX)
        atomic_store_explicit(&env->ring->packs[slot], name | (*ret + 1), memory_order_relaxed);
    return 0;
}
