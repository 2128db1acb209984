/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segments and pack footers as bytes. docs/format.md, "Packs". Pure: no keys, no backend. */
#ifndef STORE_PACK_SEGMENT_H
#define STORE_PACK_SEGMENT_H

#include "base/buf.h"
#include "store/object/object.h"
#include <stddef.h>
#include <stdint.h>

#define PACK_SIZE_MAX ((uint64_t)128 << 20)
#define PACK_FOOTER_UNIT (1ULL << 63)
#define SEGMENT_CHUNKS 256
#define SEGMENT_RAW_MAX ((size_t)1 << 20)
#define SEGMENT_HEAD(n) (8 + 4 * (size_t)(n))
#define SEGMENT_UNIT_MAX (SEGMENT_RAW_MAX + SEGMENT_HEAD(SEGMENT_CHUNKS) + CRYPT_TAG_LEN)

enum segment_method { SEGMENT_RAW = 0, SEGMENT_ZSTD = 1 };

/* What a segment's head says; payload points into the bytes parsed. */
struct segment_view {
    enum segment_method method;
    unsigned n;
    uint32_t raw;
    uint32_t len[SEGMENT_CHUNKS];
    const uint8_t *payload;
    size_t payload_len;
};

/* Writes the head (SEGMENT_HEAD(n) bytes). */
void segment_head(enum segment_method method, unsigned n, const uint32_t *len, uint8_t *ret);
/* -EBADMSG: not a well-formed segment. */
int segment_parse(const uint8_t *p, size_t n, struct segment_view *ret);

/* One segment as a footer describes it. */
struct footer_segment {
    uint32_t off, len; /* of its unit in the pack */
    unsigned n;
    const uint8_t *chunks; /* n times id, length; use footer_chunk() */
};
#define FOOTER_CHUNK_LEN (CRYPT_ID_LEN + 4)
static inline const uint8_t *footer_chunk(const struct footer_segment *s, unsigned i)
{
    return s->chunks + (size_t)i * FOOTER_CHUNK_LEN;
}

/* Appends a segment to a footer in the making (which starts with 4 bytes that footer_end() fills). 0 or -ENOMEM. */
int footer_begin(struct buf *b);
int footer_add(struct buf *b, uint32_t off, uint32_t len, unsigned n, const struct chunk_id *ids, const uint32_t *lens);
void footer_end(struct buf *b, uint32_t segments);

/* Walks a footer of a pack whose frames end at `end`. fn < 0 ends the walk with that. -EBADMSG: not well-formed. */
int footer_parse(const uint8_t *p, size_t n, uint64_t end, int (*fn)(void *priv, const struct footer_segment *s), void *priv);

#endif
