/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/tree/node.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

int node_level_for(uint64_t chunks)
{
    for (unsigned level = 0; level <= NODE_LEVEL_MAX; level++)
        if (chunks <= node_span(level) * NODE_FANOUT)
            return (int)level;
    return -EFBIG;
}

size_t node_encode(const struct node *n, uint8_t *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < NODE_FANOUT; i++)
        if (node_has(n, i))
            memcpy(out + NODE_HEAD + CRYPT_ID_LEN * count++, n->slots[i].b, CRYPT_ID_LEN);
    out[0] = (uint8_t)n->level;
    out[1] = 0;
    num_put_le16(out + 2, (uint16_t)count);
    num_put_le64(out + 4, n->set[0]);
    num_put_le64(out + 12, n->set[1]);
    return NODE_HEAD + CRYPT_ID_LEN * (size_t)count;
}

int node_parse(const uint8_t *p, size_t n, unsigned level, struct node *ret)
{
    unsigned used = 0;

    if (n < NODE_HEAD || n > NODE_BYTES_MAX || p[0] != level || p[1] != 0)
        return -EBADMSG;
    unsigned count = num_get_le16(p + 2);
    uint64_t a = num_get_le64(p + 4), b = num_get_le64(p + 12);
    if (count == 0 || count != (unsigned)(__builtin_popcountll(a) + __builtin_popcountll(b)) ||
        n != NODE_HEAD + CRYPT_ID_LEN * (size_t)count)
        return -EBADMSG;
    memset(ret, 0, sizeof *ret);
    ret->level = level;
    ret->set[0] = a;
    ret->set[1] = b;
    for (unsigned i = 0; i < NODE_FANOUT; i++)
        if (node_has(ret, i))
            memcpy(ret->slots[i].b, p + NODE_HEAD + CRYPT_ID_LEN * used++, CRYPT_ID_LEN);
    return 0;
}
