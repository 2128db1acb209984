/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images round trip: whole, in random pieces, incremental over a parent, sparse, growing and shrinking. Clause B4. */
#include "store_test.h"

#define SIZE ((size_t)12345678) /* no multiple of anything */

static void round_trip(const char *dir, bool encrypted)
{
    uint8_t *data = malloc(SIZE);
    struct store *s = test_repo(dir, encrypted);
    char id[STORE_ID_LEN + 1], *path = io_path(dir, "repo");

    fill(data, SIZE, 1);
    memset(data + 2000000, 0, 5000000);
    struct store_stats st = test_backup(s, data, SIZE, NULL, id);
    assert_int_equal(st.logical, SIZE);
    assert_int_equal(st.written, SIZE);
    assert_true(st.stored > SIZE - 5200000 && st.stored < SIZE - 4800000);
    test_same(s, id, data, SIZE);
    test_clean(s);
    store_close(s);
    s = test_open(path, encrypted);
    test_same(s, id, data, SIZE);
    test_same(s, "latest", data, SIZE);
    test_clean(s);
    store_close(s);
    free(path);
    free(data);
}

static void round_trip_plain(void **state)
{
    round_trip(*state, false);
}
static void round_trip_encrypted(void **state)
{
    round_trip(*state, true);
}

/* One writer changes the reference and the image alike, in random pieces that do not overlap. */
static void scribble(struct store_image_writer *iw, uint8_t *ref, size_t n, uint64_t seed, unsigned density)
{
    struct err err = ERR_INIT;

    for (size_t off = 0; off < n;) {
        size_t step = 1 + rnd(&seed) % (rnd(&seed) % 8 == 0 ? 500000 : 3000);
        step = step < n - off ? step : n - off;
        switch (rnd(&seed) % density) {
        case 0:
            fill(ref + off, step, rnd(&seed));
            assert_ok(store_image_write(iw, off, ref + off, step, &err));
            break;
        case 1:
            memset(ref + off, 0, step);
            assert_ok(store_image_zero(iw, off, step, &err));
            break;
        case 2:
            memset(ref + off, 0, step);
            assert_ok(store_image_write(iw, off, ref + off, step, &err));
            break;
        }
        off += step;
    }
}

static void random_writes_over_a_chain_of_parents(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, test_encrypted());
    unsigned rounds = 10 / test_stride(5);
    char id[10][STORE_ID_LEN + 1];
    uint8_t *ref[10];

    for (unsigned k = 0; k < rounds; k++) {
        size_t n = SIZE + (k % 3) * 777777 - (k % 4) * 333333, old = k ? SIZE + ((k - 1) % 3) * 777777 - ((k - 1) % 4) * 333333 : 0;
        struct store_writer *w;
        struct store_image_writer *iw;
        ref[k] = calloc(1, n);
        if (k)
            memcpy(ref[k], ref[k - 1], old < n ? old : n);
        assert_ok(store_write_begin(s, &w, &err));
        assert_ok(store_image_begin(w, "disk", n, k ? id[k - 1] : NULL, "disk", &iw, &err));
        scribble(iw, ref[k], n, k + 1, k ? 10 : 4);
        assert_ok(store_image_end(iw, NULL, &err));
        assert_ok(store_write_commit(w, "{}", id[k], &err));
    }
    for (unsigned k = 0; k < rounds; k++) {
        test_same(s, id[k], ref[k], SIZE + (k % 3) * 777777 - (k % 4) * 333333);
        free(ref[k]);
    }
    test_clean(s);
    store_close(s);
}

/* What a smaller image cut off must read as zeros when it grows again. */
static void cut_and_grown_again(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, false);
    size_t sizes[] = { 3 * CHUNK, 2 * CHUNK - 100, 600 * CHUNK, CHUNK / 2, 20000 * CHUNK, 5 };
    char id[STORE_ID_LEN + 1];
    uint8_t *ref = calloc(1, 20000 * CHUNK);

    fill(ref, sizes[0], 9);
    test_backup(s, ref, sizes[0], NULL, id);
    for (size_t i = 1; i < ARRAY_SIZE(sizes); i++) {
        struct store_writer *w;
        struct store_image_writer *iw;
        if (sizes[i] < sizes[i - 1])
            memset(ref + sizes[i], 0, sizes[i - 1] - sizes[i]);
        assert_ok(store_write_begin(s, &w, &err));
        assert_ok(store_image_begin(w, "disk", sizes[i], id, "disk", &iw, &err));
        fill(ref + sizes[i] - 1, 1, i);
        assert_ok(store_image_write(iw, sizes[i] - 1, ref + sizes[i] - 1, 1, &err));
        assert_ok(store_image_end(iw, NULL, &err));
        assert_ok(store_write_commit(w, "{}", id, &err));
        struct store_point *p;
        struct store_image *im;
        uint8_t *got = malloc(sizes[i]);
        assert_ok(store_point_open(s, id, &p, &err));
        assert_ok(store_image_open(p, "disk", &im, &err));
        assert_ok(store_image_read(im, 0, got, sizes[i], &err));
        assert_memory_equal(got, ref, sizes[i]);
        free(got);
        store_image_close(im);
        store_point_close(p);
    }
    free(ref);
    store_close(s);
}

/* A second backup of the same bytes stores nothing; one chunk changed stores that chunk and its branch. */
static void stores_only_what_is_new(void **state)
{
    struct store *s = test_repo(*state, test_encrypted());
    size_t n = 400 * CHUNK;
    uint8_t *data = malloc(n);
    char id[STORE_ID_LEN + 1];

    fill(data, n, 3);
    memcpy(data + 100 * CHUNK, data, CHUNK); /* and the same chunk twice counts once */
    struct store_stats st = test_backup(s, data, n, NULL, id);
    assert_int_equal(st.chunks, 400);
    assert_int_equal(st.chunks_new, 399);
    st = test_backup(s, data, n, NULL, id);
    assert_int_equal(st.chunks_new, 0);
    assert_int_equal(st.stored, 0);
    data[7 * CHUNK]++;
    st = test_backup(s, data, n, NULL, id);
    assert_int_equal(st.chunks_new, 1);
    assert_true(st.stored > CHUNK && st.stored < CHUNK + 10000);
    test_same(s, id, data, n);
    store_close(s);
    free(data);
}

/* A huge, nearly empty image is cheap; an incremental of it stores little metadata. Clause B4. */
static void terabyte_sparse(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, true);
    uint64_t n = (uint64_t)1 << 40, len, holes = 0, data = 0;
    uint8_t chunk[4096], got[4096];
    char id[STORE_ID_LEN + 1] = "";
    struct store_stats st;
    struct store_writer *w;
    struct store_image_writer *iw;

    for (unsigned round = 0; round < 2; round++) {
        assert_ok(store_write_begin(s, &w, &err));
        assert_ok(store_image_begin(w, "disk", n, round ? id : NULL, "disk", &iw, &err));
        assert_ok(store_image_zero(iw, 0, round ? 0 : n, &err));
        for (unsigned i = 0; i < 16; i++) {
            fill(chunk, sizeof chunk, round * 100 + i);
            assert_ok(store_image_write(iw, i * (n / 16) + round * 1000 * CHUNK, chunk, sizeof chunk, &err));
        }
        assert_ok(store_image_end(iw, &st, &err));
        assert_ok(store_write_commit(w, "{}", id, &err));
        assert_true(st.stored < 16 * sizeof chunk + (256 << 10));
    }
    struct store_point *p;
    struct store_image *im;
    assert_ok(store_point_open(s, id, &p, &err));
    assert_ok(store_image_open(p, "disk", &im, &err));
    for (uint64_t off = 0; off < n; off += len) {
        bool hole;
        assert_ok(store_image_extent(im, off, &len, &hole, &err));
        *(hole ? &holes : &data) += len;
    }
    assert_int_equal(data, 32 * CHUNK);
    assert_int_equal(holes, n - 32 * CHUNK);
    fill(chunk, sizeof chunk, 115);
    assert_ok(store_image_read(im, 15 * (n / 16) + 1000 * CHUNK, got, sizeof got, &err));
    assert_memory_equal(got, chunk, sizeof got);
    store_image_close(im);
    store_point_close(p);
    test_clean(s);
    store_close(s);
}

static void refuses_what_is_out_of_range(void **state)
{
    struct err err = ERR_INIT;
    struct store *s = test_repo(*state, false);
    struct store_writer *w;
    struct store_image_writer *iw;
    char id[STORE_ID_LEN + 1], byte = 1;
    struct store_point *p;
    struct store_image *im;

    assert_ok(store_write_begin(s, &w, &err));
    assert_fails(EINVAL, store_image_begin(w, "../x", 10, NULL, NULL, &iw, &err));
    assert_fails(ENOENT, store_image_begin(w, "x", 10, "abcdef", "x", &iw, &err));
    assert_ok(store_image_begin(w, "x", 10, NULL, NULL, &iw, &err));
    assert_fails(EINVAL, store_image_write(iw, 10, &byte, 1, &err));
    assert_fails(EINVAL, store_image_zero(iw, UINT64_MAX, 2, &err));
    assert_ok(store_image_end(iw, NULL, &err));
    assert_ok(store_image_begin(w, "x", 10, NULL, NULL, &iw, &err));
    assert_fails(EEXIST, store_image_end(iw, NULL, &err));
    assert_ok(store_write_commit(w, "{}", id, &err));
    assert_ok(store_point_open(s, id, &p, &err));
    assert_ok(store_image_open(p, "x", &im, &err));
    assert_fails(EINVAL, store_image_read(im, 10, &byte, 1, &err));
    assert_ok(store_image_read(im, 9, &byte, 1, &err));
    assert_int_equal(byte, 0);
    store_image_close(im);
    assert_fails(ENOENT, store_image_open(p, "y", &im, &err));
    store_point_close(p);
    store_close(s);
}

/* A higher level stores less, none stores all; each is read by whoever opens the repository. */
static void compresses_as_told(void **state)
{
    const size_t n = 32 / test_stride(8) * CHUNK;
    const int levels[] = { -1, 1, 19 };
    uint64_t stored[3];
    uint8_t *p = malloc(n);
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < 3; i++) {
        char name[16], id[STORE_ID_LEN + 1];
        snprintf(name, sizeof name, "repo%u", i);
        char *path = io_path(*state, name);
        struct store_init init = test_init(true);
        struct store_open o = { .key = init.key, .zstd_level = levels[i] };
        struct store *s;
        fill(p, n, 3);
        for (size_t k = 0; k < n; k++) /* words of a small language */
            p[k] = "etaoinsh"[p[k - k % 3] % 8];
        assert_ok(store_create(path, &init, &err));
        assert_ok(store_open(path, &o, &s, &err));
        stored[i] = test_backup(s, p, n, NULL, id).stored;
        store_close(s);
        s = test_open(path, true);
        test_same(s, id, p, n);
        store_close(s);
        free(path);
    }
    assert_true(stored[0] > n && stored[0] < n + n / 64);
    assert_true(stored[1] < n / 2 && stored[2] < stored[1]);
    struct store_open wrong = { .key.passphrase = "correct horse", .zstd_level = 99 };
    struct store *s;
    char *path = io_path(*state, "repo0");
    assert_fails(EINVAL, store_open(path, &wrong, &s, &err));
    free(path);
    free(p);
}

/* Pieces of chunks, anywhere: each is read as it was, followed by zeros, and stored once. */
static void pieces_are_stored_by_themselves(void **state)
{
    enum { PIECES = 300, PIECE = 4096 };
    struct store *s = test_repo(*state, false);
    char id[2][STORE_ID_LEN + 1];
    uint8_t *data = malloc(PIECES * PIECE), got[2 * PIECE];
    const uint8_t zeros[PIECE] = { 0 };
    uint64_t chunks[PIECES];
    struct err err = ERR_INIT;

    fill(data, PIECES * PIECE, 3);
    memset(data + 7 * PIECE, 0, PIECE);
    for (unsigned round = 0; round < 2; round++) { /* the second time in another order, with one that is different */
        struct store_image_writer *iw;
        struct store_writer *w;
        struct store_stats st;
        for (unsigned i = 0; i < PIECES; i++)
            chunks[i] = (i * 7919 + 5) % 1000;
        if (round)
            data[150 * PIECE] ^= 1;
        assert_ok(store_write_begin(s, &w, &err));
        assert_ok(store_image_begin(w, "m", 1000 * CHUNK, NULL, NULL, &iw, &err));
        for (unsigned i = 0; i < PIECES; i += 100) {
            unsigned from = round ? PIECES - 100 - i : i;
            assert_ok(store_image_write_pieces(iw, chunks + from, data + from * PIECE, PIECE, 100, &err));
        }
        chunks[0] = 1000;
        assert_fails(EINVAL, store_image_write_pieces(iw, chunks, data, PIECE, 1, &err));
        assert_fails(EINVAL, store_image_write_pieces(iw, chunks + 1, data, CHUNK + 1, 1, &err));
        assert_ok(store_image_end(iw, &st, &err));
        assert_ok(store_write_commit(w, "{}", id[round], &err));
        assert_int_equal(st.written, PIECES * PIECE);
        assert_int_equal(st.chunks_new, round ? 1 : PIECES - 1);
    }
    for (unsigned round = 0; round < 2; round++) {
        struct store_point *p;
        struct store_image *image;
        assert_ok(store_point_open(s, id[round], &p, &err));
        assert_ok(store_image_open(p, "m", &image, &err));
        data[150 * PIECE] ^= 1; /* as it was at first; then as it was changed */
        for (unsigned i = 0; i < PIECES; i++) {
            assert_ok(store_image_read(image, (i * 7919 + 5) % 1000 * CHUNK, got, sizeof got, &err));
            assert_memory_equal(got, data + i * PIECE, PIECE);
            assert_memory_equal(got + PIECE, zeros, PIECE);
        }
        store_image_close(image);
        store_point_close(p);
    }
    test_clean(s);
    store_close(s);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(pieces_are_stored_by_themselves),
        test_in_dir(round_trip_plain),
        test_in_dir(round_trip_encrypted),
        test_in_dir(random_writes_over_a_chain_of_parents),
        test_in_dir(cut_and_grown_again),
        test_in_dir(stores_only_what_is_new),
        test_in_dir(terabyte_sparse),
        test_in_dir(refuses_what_is_out_of_range),
        test_in_dir(compresses_as_told),
    };

    return cmocka_run_group_tests_name("store_image", tests, NULL, NULL);
}
