/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies to another repository, and counting what is used by whom. */
#include "store_test.h"
#include "base/par.h"

#define N (300 * CHUNK)

static void copies_are_the_same(void **state)
{
    struct store *a = test_repo(*state, false), *b = test_second_repo(*state);
    char id[4][STORE_ID_LEN + 1], copy[4][STORE_ID_LEN + 1], again[STORE_ID_LEN + 1];
    size_t sizes[4] = { N, N, N - 7 * CHUNK - 5, N + 130 * CHUNK };
    struct err err = ERR_INIT;
    struct store_point *p, *q;
    uint8_t *data[4];

    for (size_t i = 0; i < 4; i++) {
        data[i] = calloc(1, sizes[i]);
        if (i)
            memcpy(data[i], data[i - 1], sizes[i] < sizes[i - 1] ? sizes[i] : sizes[i - 1]);
        fill(data[i] + i * 9 * CHUNK, i ? 3 * CHUNK : N / 2, i);
        memset(data[i] + i * 20 * CHUNK, 0, 4 * CHUNK);
        test_backup(a, data[i], sizes[i], NULL, id[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(store_copy_point(a, id[i], b, NULL, copy[i], &err), 0);
        assert_int_equal(store_copy_point(a, id[i], b, NULL, again, &err), 1);
        assert_string_equal(again, copy[i]);
    }
    for (size_t i = 0; i < 4; i++)
        test_same(b, copy[i], data[i], sizes[i]);
    test_clean(b);
    /* It keeps its time, and is known when copied back. */
    assert_ok(store_point_open(a, id[0], &p, &err));
    assert_ok(store_point_open(b, copy[0], &q, &err));
    assert_int_equal(store_point_time(p), store_point_time(q));
    store_point_close(p);
    store_point_close(q);
    assert_int_equal(store_copy_point(b, copy[2], a, NULL, again, &err), 1);
    assert_string_equal(again, id[2]);
    assert_ok(store_forget(a, (const char *const[]){ id[2] }, 1, &err));
    assert_int_equal(store_copy_point(b, copy[2], a, NULL, again, &err), 0);
    test_same(a, again, data[2], sizes[2]);
    for (size_t i = 0; i < 4; i++)
        free(data[i]);
    store_close(a);
    store_close(b);
}

/* Trees that are not of the same shape, chunks cut by the end, chunks of zeros, and what is in the other repository already. */
static void copies_of_odd_images(void **state)
{
    static const size_t sizes[] = { 1, CHUNK - 1, CHUNK, CHUNK + 1, 127 * CHUNK + 9, 128 * CHUNK, 128 * CHUNK + 1, 257 * CHUNK - 3 };
    struct store *a = test_repo(*state, true), *b = test_second_repo(*state);
    uint8_t *data = malloc(300 * CHUNK);
    struct err err = ERR_INIT;
    uint64_t before = 0, after = 0;

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char id[STORE_ID_LEN + 1], copy[STORE_ID_LEN + 1];
        fill(data, 300 * CHUNK, i / 2); /* the same bytes twice */
        memset(data + sizes[i] / 2, 0, sizes[i] / 4);
        test_backup(a, data, sizes[i], NULL, id);
        assert_int_equal(store_copy_point(a, id, b, NULL, copy, &err), 0);
        test_same(b, copy, data, sizes[i]);
    }
    test_clean(b);
    /* The same image once more: nothing of it is stored again. */
    for (int i = 0; i < 2; i++) {
        char id[STORE_ID_LEN + 1], copy[STORE_ID_LEN + 1];
        struct store_usage *u;
        size_t n;
        test_backup(a, data, 257 * CHUNK - 3, NULL, id);
        assert_int_equal(store_copy_point(a, id, b, NULL, copy, &err), 0);
        assert_ok(store_usage(b, NULL, NULL, &u, &n, &err));
        before = after;
        after = u[0].stored;
        store_usage_free(u, n);
    }
    assert_true(before > 0 && before == after);
    free(data);
    store_close(a);
    store_close(b);
}

static void no_copy_after_an_interrupt(void **state)
{
    struct store *a = test_repo(*state, false), *b = test_second_repo(*state);
    struct par_cancel cancel = { .raised = 1 };
    const struct store_copy options = { .cancel = &cancel };
    char id[STORE_ID_LEN + 1], copy[STORE_ID_LEN + 1];
    uint8_t *data = malloc(N);
    struct err err = ERR_INIT;
    struct store_id *ids;
    size_t n;

    fill(data, N, 1);
    test_backup(a, data, N, NULL, id);
    assert_int_equal(store_copy_point(a, id, b, &options, copy, &err), -ECANCELED);
    assert_ok(store_point_ids(b, &ids, &n, &err));
    assert_int_equal(n, 0);
    free(ids);
    cancel.raised = 0;
    assert_int_equal(store_copy_point(a, id, b, &options, copy, &err), 0);
    test_same(b, copy, data, N);
    free(data);
    store_close(a);
    store_close(b);
}

static const char *by_first_byte(void *priv, const char *point, const char *meta, const char *stream)
{
    (void)priv;
    (void)point;
    (void)meta;
    return strncmp(stream, "a/", 2) == 0 ? "a" : strncmp(stream, "b/", 2) == 0 ? "b" : NULL;
}

static void usage_is_counted_by_group(void **state)
{
    struct store *s = test_repo(*state, true);
    uint8_t *data = malloc(40 * CHUNK);
    char id[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    struct store_usage *u;
    size_t n;

    fill(data, 40 * CHUNK, 1);
    /* a: chunks 0-29; b: 20-39; twice each */
    for (unsigned i = 0; i < 2; i++) {
        struct store_writer *w;
        struct store_image_writer *iw;
        assert_ok(store_write_begin(s, &w, &err));
        assert_ok(store_image_begin(w, "a/disk", 100 * CHUNK, NULL, NULL, &iw, &err));
        assert_ok(store_image_write(iw, 0, data, 30 * CHUNK, &err));
        assert_ok(store_image_end(iw, NULL, &err));
        assert_ok(store_image_begin(w, "b/disk", 20 * CHUNK, NULL, NULL, &iw, &err));
        assert_ok(store_image_write(iw, 0, data + 20 * CHUNK, 20 * CHUNK, &err));
        assert_ok(store_image_end(iw, NULL, &err));
        assert_ok(store_write_commit(w, "{}", id, &err));
    }
    assert_ok(store_usage(s, by_first_byte, NULL, &u, &n, &err));
    assert_int_equal(n, 3);
    assert_null(u[0].group);
    assert_int_equal(u[0].points, 2);
    assert_int_equal(u[0].logical, 2 * 120 * CHUNK);
    assert_int_equal(u[0].data, 2 * 50 * CHUNK);
    assert_true(u[0].unique > 40 * CHUNK && u[0].unique < 40 * CHUNK + 10000);
    assert_true(u[0].stored > 40 * CHUNK && u[0].stored < 41 * CHUNK);
    assert_string_equal(u[1].group, "a");
    assert_int_equal(u[1].points, 2);
    assert_int_equal(u[1].images, 2);
    assert_int_equal(u[1].data, 2 * 30 * CHUNK);
    assert_true(u[1].unique > 30 * CHUNK && u[1].unique < 30 * CHUNK + 5000);
    assert_true(u[1].exclusive > 20 * CHUNK && u[1].exclusive < 21 * CHUNK);
    assert_string_equal(u[2].group, "b");
    assert_true(u[2].exclusive > 10 * CHUNK && u[2].exclusive < 11 * CHUNK);
    store_usage_free(u, n);
    store_close(s);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(copies_are_the_same),
        test_in_dir(copies_of_odd_images),
        test_in_dir(no_copy_after_an_interrupt),
        test_in_dir(usage_is_counted_by_group),
    };

    return cmocka_run_group_tests_name("store_copy", tests, NULL, NULL);
}
