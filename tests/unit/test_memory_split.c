/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved states taken apart by pages and put together again: byte for byte the same, whatever is in them; or they are refused. */
#include "memory/memory_frame.h"
#include "base/num.h"
#include "test.h"
#include <sys/mman.h>

#define BLOCKS 3u
static const struct {
    const char *id;
    uint64_t pages;
} blocks[BLOCKS] = { { "pc.ram", 300 }, { "vga.vram", 64 }, { "/rom@etc/acpi/tables", 2 } };
#define PLACES 366u

static void put_be(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = n; i-- > 0;) {
        uint8_t byte = (uint8_t)(v >> 8 * i);
        buf_add(b, &byte, 1);
    }
}

static void put_name(struct buf *b, const char *name)
{
    put_be(b, strlen(name), 1);
    buf_adds(b, name);
}

static void put_head(struct buf *b)
{
    uint8_t head[92] = "LibvirtQemudSave";

    num_put_le32(head + 16, 2);
    num_put_le32(head + 20, 500);
    buf_add(b, head, sizeof head);
    uint8_t xml[500] = "<domain type='qemu'><name>a</name></domain>";
    buf_add(b, xml, sizeof xml);
    buf_adds(b, "QEVM");
    put_be(b, 3, 4);
    put_be(b, 7, 1); /* configuration */
    put_be(b, 10, 4);
    buf_adds(b, "pc-q35-7.2");
}

static void put_setup(struct buf *b)
{
    put_be(b, 1, 1);
    put_be(b, 2, 4);
    put_name(b, "ram");
    put_be(b, 0, 4);
    put_be(b, 4, 4);
    put_be(b, (uint64_t)PLACES * MEMORY_PAGE | RAM_SIZE, 8);
    for (unsigned i = 0; i < BLOCKS; i++) {
        put_name(b, blocks[i].id);
        put_be(b, blocks[i].pages * MEMORY_PAGE, 8);
    }
    put_be(b, RAM_END, 8);
    put_be(b, 0x7e, 1);
    put_be(b, 2, 4);
}

static void put_page(struct buf *b, unsigned block, bool named, uint64_t page, unsigned kind, uint64_t seed)
{
    put_be(b, page * MEMORY_PAGE | (kind == RAM_PAGE ? RAM_PAGE : RAM_ZERO) | (named ? 0 : RAM_CONTINUE), 8);
    if (named)
        put_name(b, blocks[block].id);
    if (kind != RAM_PAGE)
        put_be(b, kind == RAM_ZERO ? 0 : 7, 1);
    for (unsigned i = 0; kind == RAM_PAGE && i < MEMORY_PAGE / 8; i++)
        put_be(b, rnd(&seed), 8);
}

/* Sections of pages in some order, a few of them twice, and the devices. */
static void make_state(struct buf *b, uint64_t seed, bool in_order)
{
    unsigned last = BLOCKS, block = 0;
    uint64_t page = 0;

    seed = seed * 2654435761u + 88172645463325252u;
    put_head(b);
    put_setup(b);
    for (unsigned section = 0; section < 5; section++) {
        put_be(b, section == 4 ? 3 : 2, 1);
        put_be(b, 2, 4);
        for (unsigned i = 0; i < 70; i++) {
            uint64_t n = rnd(&seed);
            if (!in_order) {
                block = (unsigned)(n >> 8) % BLOCKS;
                page = (n >> 20) % blocks[block].pages;
            }
            put_page(b, block, block != last || n % 50 == 0, page, n % 5 == 1 ? RAM_ZERO : n % 41 == 2 ? 1 : RAM_PAGE, n | 1);
            last = block;
            if (++page >= blocks[block].pages) {
                page = 0;
                block = (block + 1) % BLOCKS;
            }
        }
        put_be(b, RAM_END, 8);
        put_be(b, 0x7e, 1);
        put_be(b, 2, 4);
    }
    put_be(b, 4, 1);
    for (unsigned i = 0; i < 5000; i++)
        put_be(b, rnd(&seed), 1);
}

struct pages {
    uint64_t places;
    uint8_t *bytes;
    unsigned *given;
    uint64_t passed;
    struct buf out;
};

static int take_places(void *priv, uint64_t places, struct err *err)
{
    struct pages *p = priv;

    (void)err;
    assert_null(p->bytes);
    assert_true(places <= 1 << 16);
    p->places = places;
    p->bytes = calloc(places + 1, MEMORY_PAGE);
    p->given = calloc(places + 1, sizeof *p->given);
    return 0;
}

static int take_page(void *priv, uint64_t place, const uint8_t *page, struct err *err)
{
    struct pages *p = priv;

    (void)err;
    assert_true(place < p->places);
    assert_int_equal(p->given[place]++, 0);
    memcpy(p->bytes + place * MEMORY_PAGE, page, MEMORY_PAGE);
    return 0;
}

static int take_passed(void *priv, uint64_t n, struct err *err)
{
    (void)err;
    ((struct pages *)priv)->passed += n;
    return 0;
}

static int give_bytes(void *priv, const void *p, size_t n, struct err *err)
{
    (void)err;
    return buf_add(&((struct pages *)priv)->out, p, n);
}

static int give_page(void *priv, uint64_t place, struct err *err)
{
    struct pages *p = priv;

    (void)err;
    assert_true(place < p->places);
    return buf_add(&p->out, p->bytes + place * MEMORY_PAGE, MEMORY_PAGE);
}

static void pages_free(struct pages *p)
{
    free(p->bytes);
    free(p->given);
    buf_free(&p->out);
}

static int split(const struct buf *state, struct pages *p, struct buf *frame)
{
    const struct memory_sink sink = { take_places, take_page, take_passed, p };
    int fd = memfd_create("state", MFD_CLOEXEC);
    struct err err = ERR_INIT;

    assert_true(fd >= 0);
    assert_true(state->len == 0 || write(fd, state->data, state->len) == (ssize_t)state->len);
    int r = memory_split(fd, state->len, &sink, frame, &err);
    assert_true(r == 0 || err.code == -r);
    close(fd);
    return r;
}

static int join(struct pages *p, const struct buf *frame)
{
    const struct memory_out out = { give_bytes, give_page, p };
    struct err err = ERR_INIT;

    buf_reset(&p->out);
    return memory_join(frame->data, frame->len, &out, &err);
}

/* Apart, and together again. Returns whether it could be taken apart. */
static bool there_and_back(const struct buf *state, struct buf *frame)
{
    struct pages p = { 0 };
    bool known = split(state, &p, frame) == 0;
    struct err err = ERR_INIT;
    uint64_t size, places;

    if (known) {
        assert_int_equal(p.passed, state->len);
        assert_ok(memory_frame_size(frame->data, frame->len, &size, &places, &err));
        assert_int_equal(size, state->len);
        assert_int_equal(places, p.places);
        assert_ok(join(&p, frame));
        assert_int_equal(p.out.len, state->len);
        assert_memory_equal(p.out.data, state->data, state->len);
    }
    pages_free(&p);
    return known;
}

static void m8_a_saved_state_is_the_same_afterwards(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed += test_stride(5)) {
        _cleanup_buf_ struct buf b = BUF_INIT, frame = BUF_INIT;
        make_state(&b, seed, seed % 2);
        assert_true(there_and_back(&b, &frame));
        assert_true(!(seed % 2) || frame.len < 20000);
    }
}

/* The same pages in another order, and some more in between: each has the place that it had. */
static void m8_pages_keep_their_places(void **state)
{
    struct pages first = { 0 }, second = { 0 };
    _cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT, frame = BUF_INIT, frame_b = BUF_INIT;

    (void)state;
    put_head(&a);
    put_setup(&a);
    put_head(&b);
    put_setup(&b);
    put_be(&a, 2, 1);
    put_be(&a, 2, 4);
    put_be(&b, 2, 1);
    put_be(&b, 2, 4);
    for (unsigned i = 0; i < 64; i++) {
        put_page(&a, 1, i == 0, i, RAM_PAGE, i + 1);
        put_page(&b, 1, true, 63 - i, RAM_PAGE, 64 - i);
        put_page(&b, 0, true, i, RAM_PAGE, i + 100);
    }
    put_be(&a, RAM_END, 8);
    put_be(&b, RAM_END, 8);
    assert_int_equal(split(&a, &first, &frame), 0);
    assert_int_equal(split(&b, &second, &frame_b), 0);
    assert_memory_equal(first.bytes + 300 * MEMORY_PAGE, second.bytes + 300 * MEMORY_PAGE, 64 * MEMORY_PAGE);
    assert_true(first.given[300] && first.given[363] && !first.given[0] && second.given[63]);
    pages_free(&first);
    pages_free(&second);
}

static void m8_what_is_not_known_is_refused(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const struct {
        size_t at;
        uint8_t byte;
    } wrong[] = {
        { 0, 'l' },          /* no saved state */
        { 16, 3 },           /* of a newer libvirt */
        { 28, 1 },           /* compressed */
        { 92 + 500, 'q' },   /* not QEMU's */
        { 92 + 500 + 7, 4 }, /* of a newer one */
    };

    (void)state;
    make_state(&b, 1, true);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_buf_ struct buf bad = BUF_INIT, frame = BUF_INIT;
        struct pages p = { 0 };
        buf_add(&bad, b.data, b.len);
        bad.data[wrong[i].at] = wrong[i].byte;
        assert_int_equal(split(&bad, &p, &frame), -ENOTSUP);
        pages_free(&p);
    }
}

/* Any damage: refused, or the same afterwards. */
static void m8_damaged_states_are_the_same_afterwards(void **state)
{
    uint64_t seed = 42;
    unsigned known = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i += test_stride(7)) {
        _cleanup_buf_ struct buf b = BUF_INIT, frame = BUF_INIT;
        make_state(&b, i, i % 3);
        for (unsigned k = 0; k <= i % 4; k++)
            b.data[rnd(&seed) % (i % 2 ? b.len : 900)] ^= (uint8_t)(1u << rnd(&seed) % 8);
        if (i % 5 == 0)
            b.len = rnd(&seed) % b.len;
        known += there_and_back(&b, &frame);
    }
    assert_true(known > 0);
}

/* A frame from a repository may be anything: no more bytes than it says, no place that there is not, no end of it. */
static void m8_damaged_frames_are_refused(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT, frame = BUF_INIT;
    struct pages p = { 0 };
    struct err err = ERR_INIT;
    uint64_t seed = 7, size, places;
    unsigned refused = 0;

    (void)state;
    make_state(&b, 3, false);
    assert_int_equal(split(&b, &p, &frame), 0);
    for (unsigned i = 0; i < 2000; i += test_stride(19)) {
        _cleanup_buf_ struct buf bad = BUF_INIT;
        buf_add(&bad, frame.data, frame.len);
        for (unsigned k = 0; k <= i % 3; k++)
            bad.data[20 + rnd(&seed) % (bad.len - 20)] ^= (uint8_t)(1u << rnd(&seed) % 8);
        if (i % 7 == 0)
            bad.len = rnd(&seed) % bad.len;
        if (memory_frame_size(bad.data, bad.len, &size, &places, &err) < 0 || places > p.places) {
            refused++;
            continue;
        }
        int r = join(&p, &bad);
        assert_true(r == 0 ? p.out.len == size : r == -EUCLEAN && p.out.len <= size);
        refused += r < 0;
    }
    assert_true(refused > 0);
    assert_fails(EUCLEAN, memory_frame_size(frame.data, 3, &size, &places, &err));
    pages_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(m8_a_saved_state_is_the_same_afterwards), cmocka_unit_test(m8_pages_keep_their_places),
        cmocka_unit_test(m8_what_is_not_known_is_refused),         cmocka_unit_test(m8_damaged_states_are_the_same_afterwards),
        cmocka_unit_test(m8_damaged_frames_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
