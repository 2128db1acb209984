/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory/memory_frame.h"
#include "base/num.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAGIC "KVSSMEM1"
#define FRAME_MAGIC_LEN 8u
#define VARINT_MAX 10u /* bytes of 64 bits, 7 at a time */

/* A step of bytes: their number times 2. A run: its length times 8, and these. */
#define STEP_RUN 1u
#define STEP_ZERO 2u
#define STEP_NAMED 4u

/* ---- head -----------------------------------------------------------------------------------------------------------------*/

void frame_head_free(struct frame_head *h)
{
    free(h->blocks);
    *h = (struct frame_head){ 0 };
}

int frame_head_add(struct frame_head *h, const void *id, uint8_t len, uint64_t pages)
{
    if (h->n == FRAME_BLOCKS_MAX || len == 0 || pages > FRAME_PLACES_MAX - h->places)
        return -EUCLEAN;
    struct frame_block *blocks = reallocarray(h->blocks, h->n + 1, sizeof *blocks);
    if (!blocks)
        return -ENOMEM;
    h->blocks = blocks;
    struct frame_block *b = &blocks[h->n++];
    *b = (struct frame_block){ .len = len, .first = h->places, .pages = pages };
    memcpy(b->id, id, len);
    h->places += pages;
    return 0;
}

const struct frame_block *frame_head_named(const struct frame_head *h, const void *id, uint8_t len)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->blocks[i].len == len && memcmp(h->blocks[i].id, id, len) == 0)
            return &h->blocks[i];
    return NULL;
}

const struct frame_block *frame_head_of(const struct frame_head *h, uint64_t place)
{
    for (size_t i = 0; i < h->n; i++)
        if (place >= h->blocks[i].first && place - h->blocks[i].first < h->blocks[i].pages)
            return &h->blocks[i];
    return NULL;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------*/

void frame_writer_free(struct frame_writer *w)
{
    buf_free(&w->body);
    buf_free(&w->bytes);
}

static int add_varint(struct buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    size_t n = 0;

    for (; v > 0x7f; v >>= 7)
        bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    return buf_add(b, bytes, n);
}

/* What is pending goes into the body. */
static int frame_writer_flush(struct frame_writer *w)
{
    const struct frame_run *run = &w->run;
    int r = 0;

    if (w->bytes.len) {
        r = add_varint(&w->body, (uint64_t)w->bytes.len << 1);
        r = r < 0 ? r : buf_add(&w->body, w->bytes.data, w->bytes.len);
        buf_reset(&w->bytes);
    } else if (run->n) {
        uint64_t ahead = run->place - w->next; /* as a signed number: small ones in both directions are short */
        r = add_varint(&w->body, run->n << 3 | (run->named ? STEP_NAMED : 0) | (run->zero ? STEP_ZERO : 0) | STEP_RUN);
        r = r < 0 ? r : add_varint(&w->body, ahead << 1 ^ (uint64_t) - (int64_t)(ahead >> 63));
        w->next = run->place + run->n;
    }
    w->run = (struct frame_run){ 0 };
    return r < 0 ? r : w->body.len > MEMORY_FRAME_MAX ? -ENOTSUP : 0;
}

int frame_writer_bytes(struct frame_writer *w, const void *p, size_t n)
{
    int r = w->run.n ? frame_writer_flush(w) : 0;

    if (r == 0 && n > MEMORY_FRAME_MAX - w->bytes.len)
        return -ENOTSUP;
    return r < 0 ? r : buf_add(&w->bytes, p, n);
}

int frame_writer_record(struct frame_writer *w, uint64_t place, bool zero, bool named)
{
    struct frame_run *run = &w->run;

    if (run->n && !named && run->zero == zero && place == run->place + run->n) {
        run->n++;
        return 0;
    }
    int r = frame_writer_flush(w);
    *run = (struct frame_run){ place, 1, zero, named };
    return r;
}

int frame_writer_end(struct frame_writer *w, const struct frame_head *head, struct buf *ret)
{
    uint8_t number[8];
    int r = frame_writer_flush(w);

    if (r == 0)
        r = buf_add(ret, FRAME_MAGIC, FRAME_MAGIC_LEN);
    num_put_le64(number, head->size);
    if (r == 0)
        r = buf_add(ret, number, 8);
    num_put_le32(number, (uint32_t)head->n);
    if (r == 0)
        r = buf_add(ret, number, 4);
    for (size_t i = 0; r == 0 && i < head->n; i++) {
        const struct frame_block *b = &head->blocks[i];
        num_put_le64(number, b->pages);
        r = buf_add(ret, number, 8);
        if (r == 0)
            r = buf_add(ret, &b->len, 1);
        if (r == 0)
            r = buf_add(ret, b->id, b->len);
    }
    if (r == 0)
        r = buf_add(ret, w->body.data ? (const void *)w->body.data : "", w->body.len);
    return r < 0 ? r : ret->len > MEMORY_FRAME_MAX ? -ENOTSUP : 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------*/

static const uint8_t *frame_take(struct frame_reader *r, uint64_t n)
{
    const uint8_t *p = r->p;

    if (n > (uint64_t)(r->end - p))
        return NULL;
    r->p += n;
    return p;
}

static int read_block(struct frame_reader *r, struct frame_head *h)
{
    const uint8_t *pages = frame_take(r, 8), *len = frame_take(r, 1), *id = pages && len ? frame_take(r, *len) : NULL;

    return id ? frame_head_add(h, id, *len, num_get_le64(pages)) : -EUCLEAN;
}

int frame_reader_begin(const void *p, size_t n, struct frame_reader *r, struct frame_head *ret)
{
    struct frame_head h = { 0 };

    *r = (struct frame_reader){ .p = p, .end = (const uint8_t *)p + n };
    const uint8_t *magic = frame_take(r, FRAME_MAGIC_LEN), *size = frame_take(r, 8), *blocks = frame_take(r, 4);
    if (!magic || !size || !blocks || memcmp(magic, FRAME_MAGIC, FRAME_MAGIC_LEN) != 0)
        return -EUCLEAN;
    h.size = num_get_le64(size);
    int e = h.size > INT64_MAX ? -EUCLEAN : 0;
    for (uint32_t i = num_get_le32(blocks); e == 0 && i; i--)
        e = read_block(r, &h);
    if (e < 0) {
        frame_head_free(&h);
        return e;
    }
    *ret = h;
    return 0;
}

static bool take_varint(struct frame_reader *r, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < VARINT_MAX; i++) {
        const uint8_t *p = frame_take(r, 1);
        if (!p || (i == VARINT_MAX - 1 && *p > 1))
            return false;
        v |= (uint64_t)(*p & 0x7f) << 7 * i;
        if (!(*p & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

int frame_reader_next(struct frame_reader *r, struct frame_step *ret)
{
    struct frame_step s = { 0 };
    uint64_t v, ahead;

    if (r->p == r->end)
        return 0;
    if (!take_varint(r, &v))
        return -EUCLEAN;
    if (!(v & STEP_RUN)) {
        s.n = (size_t)(v >> 1);
        s.bytes = frame_take(r, v >> 1);
    } else if (take_varint(r, &ahead)) {
        s.run = (struct frame_run){ r->next + (ahead >> 1 ^ (uint64_t) - (int64_t)(ahead & 1)), v >> 3, v & STEP_ZERO, v & STEP_NAMED };
        r->next = s.run.place + s.run.n;
    }
    if (s.bytes ? s.n == 0 : s.run.n == 0)
        return -EUCLEAN;
    *ret = s;
    return 1;
}
