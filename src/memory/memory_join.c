/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A saved state put together again. */
#include "memory/memory_frame.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

struct joining {
    const struct memory_out *out;
    struct frame_head head;
    uint64_t left; /* bytes that are still to come */
    struct err *err;
};

static int no_frame(struct err *err)
{
    return err_set(err, EUCLEAN, "the map of the saved memory is damaged");
}

static int join_bytes(struct joining *j, const void *p, size_t n)
{
    if (n > j->left)
        return no_frame(j->err);
    j->left -= n;
    return j->out->bytes(j->out->priv, p, n, j->err);
}

static int join_page(struct joining *j, uint64_t place)
{
    if (j->left < MEMORY_PAGE)
        return no_frame(j->err);
    j->left -= MEMORY_PAGE;
    return j->out->page(j->out->priv, place, j->err);
}

/* A record as QEMU writes it: address and flags, the block's name, the page. */
static int join_record(struct joining *j, const struct frame_block *b, uint64_t place, bool zero, bool named)
{
    uint8_t record[8 + 1 + 255 + 1];
    uint64_t v = (place - b->first) * MEMORY_PAGE | (zero ? RAM_ZERO : RAM_PAGE) | (named ? 0 : RAM_CONTINUE);
    size_t n = 8;

    v = __builtin_bswap64(v); /* as big-endian */
    num_put_le64(record, v);
    if (named) {
        record[n++] = b->len;
        memcpy(record + n, b->id, b->len);
        n += b->len;
    }
    if (zero)
        record[n++] = 0; /* of these bytes the page is made */
    int r = join_bytes(j, record, n);
    return r || zero ? r : join_page(j, place);
}

static int join_run(struct joining *j, const struct frame_run *run)
{
    const struct frame_block *b = frame_head_of(&j->head, run->place);
    int r = b && run->n <= b->pages - (run->place - b->first) ? 0 : no_frame(j->err);

    for (uint64_t i = 0; r == 0 && i < run->n; i++)
        r = join_record(j, b, run->place + i, run->zero, run->named && i == 0);
    return r;
}

static int join_steps(struct joining *j, struct frame_reader *reader)
{
    struct frame_step s;
    int r;

    while ((r = frame_reader_next(reader, &s)) > 0) {
        r = s.bytes ? join_bytes(j, s.bytes, s.n) : join_run(j, &s.run);
        if (r != 0)
            return r;
    }
    return r < 0 || j->left ? no_frame(j->err) : 0;
}

static int join_begin(const void *frame, size_t n, struct frame_reader *reader, struct frame_head *ret, struct err *err)
{
    int r = frame_reader_begin(frame, n, reader, ret);

    return r == -EUCLEAN ? no_frame(err) : r < 0 ? err_nomem(err) : 0;
}

int memory_join(const void *frame, size_t n, const struct memory_out *out, struct err *err)
{
    struct joining j = { .out = out, .err = err };
    struct frame_reader reader;
    int r = join_begin(frame, n, &reader, &j.head, err);

    if (r < 0)
        return r;
    j.left = j.head.size;
    r = join_steps(&j, &reader);
    frame_head_free(&j.head);
    return r;
}

int memory_frame_size(const void *frame, size_t n, uint64_t *ret_size, uint64_t *ret_places, struct err *err)
{
    _cleanup_frame_head_ struct frame_head head = { 0 };
    struct frame_reader reader;
    int r = join_begin(frame, n, &reader, &head, err);

    if (r < 0)
        return r;
    *ret_size = head.size;
    *ret_places = head.places;
    return 0;
}
