/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A saved state taken apart. Of libvirt's head and QEMU's stream (migration/savevm.c, ram.c) only so much is understood as it takes to find
 * the pages: the rest goes into the frame as it is. What follows the pages (the devices) may be anything. */
#include "memory/memory_frame.h"
#include "base/io.h"
#include "base/num.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW ((size_t)1 << 20)

#define SAVE_MAGIC "LibvirtQemudSave"
#define SAVE_HEAD 92u
#define SAVE_DATA_MAX ((uint32_t)16 << 20)
enum { SAVE_VERSION = 16, SAVE_DATA_LEN = 20, SAVE_COMPRESSED = 28 };

#define STREAM_MAGIC "QEVM"
#define STREAM_VERSION 3u
#define RAM_VERSION 4u
enum { SECTION_START = 1, SECTION_PART = 2, SECTION_END = 3, SECTION_CONFIG = 7, SECTION_FOOTER = 0x7e };
#define CONFIG_MAX 4096u

struct splitting {
    int fd;
    uint64_t at, size; /* of the file: what is in the window ends at `at` */
    uint8_t *window;
    size_t begin, end; /* what is left of it */
    const struct memory_sink *sink;
    struct frame_writer frame;
    struct frame_head head;
    size_t block;   /* of the record before, + 1 */
    uint64_t *seen; /* places that have been given */
    uint32_t section;
    struct err *err;
};

static int unknown(struct err *err)
{
    return err_set(err, ENOTSUP, "the saved state is not of a kind that can be stored by pages");
}

static uint32_t be32(const uint8_t *p)
{
    return __builtin_bswap32(num_get_le32(p));
}

static uint64_t be64(const uint8_t *p)
{
    return __builtin_bswap64(num_get_le64(p));
}

/* ---- reading --------------------------------------------------------------------------------------------------------------*/

/* n bytes (at most WINDOW) from here on, or NULL: so many are not left. *ret: 0, -errno. */
static const uint8_t *peek(struct splitting *s, size_t n, int *ret)
{
    size_t have = s->end - s->begin;

    *ret = 0;
    if (have < n && s->at < s->size) {
        size_t more = (size_t)num_min(WINDOW - have, s->size - s->at);
        memmove(s->window, s->window + s->begin, have);
        s->begin = 0;
        s->end = have;
        if ((*ret = s->sink->passed(s->sink->priv, more, s->err)) != 0)
            return NULL;
        int r = io_pread(s->fd, s->window + have, more, s->at);
        if (r < 0) {
            *ret = err_errno(s->err, -r, "cannot read the saved state");
            return NULL;
        }
        s->at += more;
        s->end = have += more;
    }
    return have < n ? NULL : s->window + s->begin;
}

/* As peek(), and fewer bytes are no saved state that is known. */
static int split_need(struct splitting *s, size_t n, const uint8_t **ret)
{
    int r;

    *ret = peek(s, n, &r);
    return r ? r : *ret ? 0 : unknown(s->err);
}

static int framed(struct splitting *s, int r)
{
    return r == -ENOTSUP ? unknown(s->err) : r < 0 ? err_nomem(s->err) : 0;
}

/* The next n bytes of the window into the frame. */
static int split_keep(struct splitting *s, size_t n)
{
    int r = framed(s, frame_writer_bytes(&s->frame, s->window + s->begin, n));

    s->begin += n;
    return r;
}

static int keep_many(struct splitting *s, uint64_t n)
{
    const uint8_t *p;
    int r = 0;

    for (size_t step; r == 0 && n; n -= step) {
        step = (size_t)num_min(n, WINDOW);
        r = split_need(s, step, &p);
        if (r == 0)
            r = split_keep(s, step);
    }
    return r;
}

/* ---- pages ----------------------------------------------------------------------------------------------------------------*/

/* 1: the place has not been given yet, and is now. */
static int split_claim(struct splitting *s, uint64_t place)
{
    uint64_t bit = (uint64_t)1 << place % 64, *word = &s->seen[place / 64];
    bool fresh = !(*word & bit);

    *word |= bit;
    return fresh;
}

/* The block that a record is of. *ret_len: bytes of the record so far. */
static int record_block(struct splitting *s, bool named, const struct frame_block **ret, size_t *ret_len)
{
    const uint8_t *p;
    int r;

    *ret_len = 8;
    if (named) {
        r = split_need(s, 9, &p);
        if (r == 0)
            r = split_need(s, 9 + (size_t)p[8], &p);
        const struct frame_block *b = r == 0 ? frame_head_named(&s->head, p + 9, p[8]) : NULL;
        if (!b)
            return r ? r : unknown(s->err);
        *ret_len = 9 + (size_t)p[8];
        s->block = (size_t)(b - s->head.blocks) + 1;
    }
    if (!s->block)
        return unknown(s->err);
    *ret = &s->head.blocks[s->block - 1];
    return 0;
}

/* One record of a page. What cannot be made anew from its place (a page of other bytes than zeros, one that comes twice) is kept. */
static int split_record(struct splitting *s, uint64_t v)
{
    bool named = !(v & RAM_CONTINUE), zero = (v & RAM_FLAGS & ~RAM_CONTINUE) == RAM_ZERO;
    const struct frame_block *b;
    const uint8_t *p;
    size_t len;
    int r = record_block(s, named, &b, &len);

    if (r < 0)
        return r;
    uint64_t page = (v & ~(uint64_t)RAM_FLAGS) / MEMORY_PAGE, place = b->first + page;
    size_t whole = len + (zero ? 1 : MEMORY_PAGE);
    if (page >= b->pages)
        return unknown(s->err);
    r = split_need(s, whole, &p);
    if (r != 0)
        return r;
    if (zero ? p[len] != 0 : !split_claim(s, place))
        return split_keep(s, whole);
    if (!zero)
        r = s->sink->page(s->sink->priv, place, p + len, s->err);
    s->begin += whole;
    return r ? r : framed(s, frame_writer_record(&s->frame, place, zero, named));
}

static int split_records(struct splitting *s)
{
    const uint8_t *p;
    int r;

    while ((r = split_need(s, 8, &p)) == 0) {
        uint64_t v = be64(p);
        unsigned kind = v & RAM_FLAGS & ~RAM_CONTINUE;
        if (v == RAM_END)
            return split_keep(s, 8);
        r = kind == RAM_ZERO || kind == RAM_PAGE ? split_record(s, v) : unknown(s->err);
        if (r != 0)
            return r;
    }
    return r;
}

/* ---- sections -------------------------------------------------------------------------------------------------------------*/

/* One of the blocks that the memory consists of: its name and its length. */
static int setup_block(struct splitting *s, uint64_t *ret_bytes)
{
    const uint8_t *p;
    int r = split_need(s, 1, &p);

    if (r != 0)
        return r;
    size_t n = 1 + (size_t)p[0] + 8;
    if ((r = split_need(s, n, &p)) != 0)
        return r;
    *ret_bytes = be64(p + n - 8);
    r = frame_head_add(&s->head, p + 1, p[0], num_div_up(*ret_bytes, MEMORY_PAGE));
    return r == -ENOMEM ? err_nomem(s->err) : r < 0 ? unknown(s->err) : split_keep(s, n);
}

static int split_setup(struct splitting *s)
{
    uint64_t total, n;
    const uint8_t *p;
    int r = split_need(s, 8, &p);

    if (r != 0)
        return r;
    total = be64(p);
    if ((total & RAM_FLAGS) != RAM_SIZE)
        return unknown(s->err);
    r = split_keep(s, 8);
    for (total &= ~(uint64_t)RAM_FLAGS; r == 0 && total; total -= n)
        if ((r = setup_block(s, &n)) == 0 && n > total)
            r = unknown(s->err);
    if (r == 0)
        r = split_need(s, 8, &p);
    if (r == 0)
        r = be64(p) == RAM_END ? split_keep(s, 8) : unknown(s->err);
    if (r != 0)
        return r;
    s->seen = calloc(s->head.places / 64 + 1, sizeof *s->seen);
    return s->seen ? s->sink->begin(s->sink->priv, s->head.places, s->err) : err_nomem(s->err);
}

/* Older machines have none. */
static int split_footer(struct splitting *s)
{
    int r;
    const uint8_t *p = peek(s, 5, &r);

    return p && p[0] == SECTION_FOOTER && be32(p + 1) == s->section ? split_keep(s, 5) : r;
}

static int split_config(struct splitting *s)
{
    const uint8_t *p;
    int r = split_need(s, 5, &p);

    if (r != 0)
        return r;
    uint32_t n = be32(p + 1);
    return n > CONFIG_MAX ? unknown(s->err) : keep_many(s, 5 + (uint64_t)n);
}

static int split_start(struct splitting *s)
{
    const uint8_t *p;
    int r = split_need(s, 6 + 3 + 8, &p); /* with the name "ram" */

    if (r != 0)
        return r;
    if (s->seen || p[5] != 3 || memcmp(p + 6, "ram", 3) != 0 || be32(p + 13) != RAM_VERSION)
        return unknown(s->err);
    s->section = be32(p + 1);
    r = split_keep(s, 17);
    if (r == 0)
        r = split_setup(s);
    return r == 0 ? split_footer(s) : r;
}

static int split_part(struct splitting *s)
{
    const uint8_t *p;
    int r = split_need(s, 5, &p);

    if (r != 0)
        return r;
    if (!s->seen || be32(p + 1) != s->section)
        return unknown(s->err);
    r = split_keep(s, 5);
    if (r == 0)
        r = split_records(s);
    return r == 0 ? split_footer(s) : r;
}

/* Up to the first section that is not the memory's, which is a device's; they come last. */
static int split_sections(struct splitting *s)
{
    for (;;) {
        int r;
        const uint8_t *p = peek(s, 1, &r);
        uint8_t type = p ? *p : 0;
        if (r == 0 && type == SECTION_CONFIG && !s->seen)
            r = split_config(s);
        else if (r == 0 && type == SECTION_START)
            r = split_start(s);
        else if (r == 0 && (type == SECTION_PART || type == SECTION_END))
            r = split_part(s);
        else
            return r ? r : keep_many(s, s->size - s->at + (s->end - s->begin));
        if (r != 0)
            return r;
    }
}

static int split_head(struct splitting *s)
{
    uint32_t version, data, compressed;
    const uint8_t *p;
    int r = split_need(s, SAVE_HEAD, &p);

    if (r != 0)
        return r;
    version = num_get_le32(p + SAVE_VERSION); /* by the host's order: of another one, libvirt would not take it here either */
    data = num_get_le32(p + SAVE_DATA_LEN);
    compressed = num_get_le32(p + SAVE_COMPRESSED);
    if (memcmp(p, SAVE_MAGIC, sizeof(SAVE_MAGIC) - 1) != 0 || version < 1 || version > 2 || compressed || data > SAVE_DATA_MAX)
        return unknown(s->err);
    r = keep_many(s, SAVE_HEAD + (uint64_t)data);
    if (r == 0)
        r = split_need(s, 8, &p);
    if (r == 0)
        r = memcmp(p, STREAM_MAGIC, 4) == 0 && be32(p + 4) == STREAM_VERSION ? split_keep(s, 8) : unknown(s->err);
    return r;
}

int memory_split(int fd, uint64_t size, const struct memory_sink *sink, struct buf *frame, struct err *err)
{
    struct splitting s = { .fd = fd, .size = size, .sink = sink, .head.size = size, .err = err };
    int r = (s.window = malloc(WINDOW)) ? split_head(&s) : err_nomem(err);

    if (r == 0)
        r = split_sections(&s);
    if (r == 0)
        r = s.seen ? framed(&s, frame_writer_end(&s.frame, &s.head, frame)) : unknown(err);
    frame_writer_free(&s.frame);
    frame_head_free(&s.head);
    free(s.window);
    free(s.seen);
    return r;
}
