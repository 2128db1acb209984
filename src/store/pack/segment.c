/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/pack/segment.h"
#include "base/num.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

void segment_head(enum segment_method method, unsigned n, const uint32_t *len, uint8_t *ret)
{
    uint32_t raw = 0;

    ret[0] = (uint8_t)method;
    ret[1] = 0;
    num_put_le16(ret + 2, (uint16_t)n);
    for (unsigned i = 0; i < n; i++) {
        num_put_le32(ret + 8 + 4 * i, len[i]);
        raw += len[i];
    }
    num_put_le32(ret + 4, raw);
}

int segment_parse(const uint8_t *p, size_t n, struct segment_view *ret)
{
    uint64_t sum = 0;

    if (n < SEGMENT_HEAD(1) || p[0] > SEGMENT_ZSTD || p[1] != 0)
        return -EBADMSG;
    unsigned count = num_get_le16(p + 2);
    uint32_t raw = num_get_le32(p + 4);
    if (count == 0 || count > SEGMENT_CHUNKS || n < SEGMENT_HEAD(count) || raw == 0 || raw > SEGMENT_RAW_MAX)
        return -EBADMSG;
    for (unsigned i = 0; i < count; i++) {
        ret->len[i] = num_get_le32(p + 8 + 4 * i);
        if (ret->len[i] == 0 || ret->len[i] > CHUNK_SIZE)
            return -EBADMSG;
        sum += ret->len[i];
    }
    size_t payload = n - SEGMENT_HEAD(count);
    if (sum != raw || payload > raw || (p[0] == SEGMENT_RAW && payload != raw))
        return -EBADMSG;
    ret->method = p[0];
    ret->n = count;
    ret->raw = raw;
    ret->payload = p + SEGMENT_HEAD(count);
    ret->payload_len = payload;
    return 0;
}

int footer_begin(struct buf *b)
{
    static const uint8_t none[4];

    buf_reset(b);
    return buf_add(b, none, sizeof none);
}

int footer_add(struct buf *b, uint32_t off, uint32_t len, unsigned n, const struct chunk_id *ids, const uint32_t *lens)
{
    uint8_t head[12], chunk[FOOTER_CHUNK_LEN];

    if (buf_reserve(b, sizeof head + n * sizeof chunk) < 0)
        return -ENOMEM;
    num_put_le32(head, off);
    num_put_le32(head + 4, len);
    num_put_le16(head + 8, (uint16_t)n);
    num_put_le16(head + 10, 0);
    buf_add(b, head, sizeof head);
    for (unsigned i = 0; i < n; i++) {
        memcpy(chunk, ids[i].b, CRYPT_ID_LEN);
        num_put_le32(chunk + CRYPT_ID_LEN, lens[i]);
        buf_add(b, chunk, sizeof chunk);
    }
    return 0;
}

void footer_end(struct buf *b, uint32_t segments)
{
    num_put_le32(b->data, segments);
}

/* One segment at *p; moves *p and *n behind it. */
static int footer_next(const uint8_t **p, size_t *n, uint64_t end, struct footer_segment *ret)
{
    if (*n < 12)
        return -EBADMSG;
    ret->off = num_get_le32(*p);
    ret->len = num_get_le32(*p + 4);
    ret->n = num_get_le16(*p + 8);
    ret->chunks = *p + 12;
    if (num_get_le16(*p + 10) != 0 || ret->n == 0 || ret->n > SEGMENT_CHUNKS || ret->off < CRYPT_HEADER_LEN + 4 ||
        ret->len < SEGMENT_HEAD(1) + CRYPT_TAG_LEN || ret->len > SEGMENT_UNIT_MAX || (uint64_t)ret->off + ret->len > end ||
        (*n - 12) / FOOTER_CHUNK_LEN < ret->n)
        return -EBADMSG;
    for (unsigned i = 0; i < ret->n; i++) {
        uint32_t len = num_get_le32(footer_chunk(ret, i) + CRYPT_ID_LEN);
        if (len == 0 || len > CHUNK_SIZE)
            return -EBADMSG;
    }
    *p += 12 + (size_t)ret->n * FOOTER_CHUNK_LEN;
    *n -= 12 + (size_t)ret->n * FOOTER_CHUNK_LEN;
    return 0;
}

int footer_parse(const uint8_t *p, size_t n, uint64_t end, int (*fn)(void *priv, const struct footer_segment *s), void *priv)
{
    struct footer_segment s;

    if (n < 4)
        return -EBADMSG;
    uint32_t count = num_get_le32(p);
    p += 4;
    n -= 4;
    for (uint32_t i = 0; i < count; i++) {
        int r = footer_next(&p, &n, end, &s);
        if (r == 0)
            r = fn(priv, &s);
        if (r < 0)
            return r;
    }
    return n == 0 ? 0 : -EBADMSG;
}
