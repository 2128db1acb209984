/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/env.h"
#include "base/num.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

char *object_path(const char *folder, const uint8_t *name, size_t n, char out[static OBJECT_PATH_SIZE])
{
    char hex[2 * CRYPT_ID_LEN + 1];

    snprintf(out, OBJECT_PATH_SIZE, "%s/%s", folder, crypt_hex(name, n, hex));
    return out;
}

struct ids {
    struct chunk_id *list;
    size_t n, max;
};

static int add_id(void *priv, const char *name)
{
    struct ids *x = priv;
    struct chunk_id id;

    if (!crypt_unhex(name, id.b, sizeof id.b))
        return 0;
    if (x->n == x->max)
        return -E2BIG;
    if ((x->n & (x->n - 1)) == 0) { /* 0, 1, 2, 4 ...: full */
        struct chunk_id *list = reallocarray(x->list, x->n ? 2 * x->n : 1, sizeof *list);
        if (!list)
            return -ENOMEM;
        x->list = list;
    }
    x->list[x->n++] = id;
    return 0;
}

int object_ids(struct env *env, const char *folder, size_t max, struct chunk_id **ret, size_t *ret_n, struct err *err)
{
    struct ids x = { .max = max };
    int r = backend_list(env->backend, folder, add_id, &x, err);

    if (r < 0) {
        free(x.list);
        return r;
    }
    *ret = x.list;
    *ret_n = x.n;
    return 0;
}

void object_header(const char magic[static 8], const uint8_t *salt, unsigned epoch, uint8_t ret[static CRYPT_HEADER_LEN])
{
    memcpy(ret, magic, 8);
    num_put_le16(ret + 8, OBJECT_VERSION);
    num_put_le16(ret + 10, (uint16_t)epoch);
    memset(ret + 12, 0, 4);
    memcpy(ret + 16, salt, CRYPT_SALT_LEN);
}

int object_header_check(const uint8_t *p, size_t n, const char magic[static 8], const uint8_t *salt)
{
    static const uint8_t zero[4];

    if (n < CRYPT_HEADER_LEN || memcmp(p, magic, 8) != 0)
        return -EBADMSG;
    if (num_get_le16(p + 8) > OBJECT_VERSION)
        return -EPROTONOSUPPORT;
    if (num_get_le16(p + 8) != OBJECT_VERSION || memcmp(p + 12, zero, sizeof zero) != 0)
        return -EBADMSG;
    return salt && memcmp(p + 16, salt, CRYPT_SALT_LEN) != 0 ? -EBADMSG : 0;
}

void object_tail(uint32_t len, uint8_t ret[static OBJECT_TAIL_LEN])
{
    num_put_le32(ret, len);
    memcpy(ret + 4, "KVSSTAIL", 8);
}

int object_tail_check(const uint8_t *p, uint64_t size, uint64_t max, uint32_t *ret_len)
{
    uint32_t len = num_get_le32(p);

    if (memcmp(p + 4, "KVSSTAIL", 8) != 0 || len < CRYPT_TAG_LEN || len > max || size < (uint64_t)len + CRYPT_HEADER_LEN + OBJECT_TAIL_LEN)
        return -EBADMSG;
    *ret_len = len;
    return 0;
}
