/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "test.h"

static void bytes_grow_and_stay_terminated(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(buf_addf(&b, "%03u", i), 0);
        assert_int_equal(b.data[b.len], 0);
    }
    assert_int_equal(b.len, 3000);
    assert_memory_equal(b.data + 2997, "999", 4);
    assert_memory_equal(b.data, "000001", 6);
}

static void zero_bytes_are_bytes(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(buf_add(&b, "a\0b", 3), 0);
    assert_int_equal(buf_adds(&b, "c"), 0);
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.data, "a\0bc", 5);
}

static void adding_nothing_makes_an_empty_text(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    (void)state;
    assert_null(b.data);
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_int_equal(b.len, 0);
    assert_string_equal((char *)b.data, "");
}

static void sizes_that_cannot_be_are_refused_unchanged(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(buf_adds(&b, "keep"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 5), -ENOMEM);
    assert_string_equal((char *)b.data, "keep");
    assert_int_equal(b.len, 4);
}

static void reset_keeps_the_memory(void **state)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    (void)state;
    buf_reset(&b);
    assert_int_equal(buf_reserve(&b, 1000), 0);
    assert_int_equal(buf_adds(&b, "abc"), 0);
    uint8_t *data = b.data;
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal((char *)b.data, "");
    assert_ptr_equal(data, b.data);
}

static void taken_text_leaves_an_empty_buf(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    buf_adds(&b, "abc");
    _cleanup_free_ char *s = buf_take_str(&b);
    assert_string_equal(s, "abc");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    _cleanup_free_ char *empty = buf_take_str(&b);
    assert_string_equal(empty, "");
    buf_free(NULL);
}

static void pointers_and_descriptors_are_handed_over(void **state)
{
    (void)state;
    char *p = strdup("x");
    _cleanup_free_ char *taken = TAKE_PTR(p);
    assert_null(p);
    assert_string_equal(taken, "x");
    int fd = 5;
    assert_int_equal(TAKE_FD(fd), 5);
    assert_int_equal(fd, -1);
}

static void closing_keeps_errno(void **state)
{
    (void)state;
    errno = EXDEV;
    {
        _cleanup_close_ int fd = 1 << 20; /* not open: close() fails and sets errno */
        (void)fd;
    }
    assert_int_equal(errno, EXDEV);
}

static void locks_end_with_their_scope(void **state)
{
    pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;

    (void)state;
    {
        SCOPED_LOCK(&a);
        SCOPED_LOCK(&b);
        assert_int_equal(pthread_mutex_trylock(&a), EBUSY);
        assert_int_equal(pthread_mutex_trylock(&b), EBUSY);
    }
    assert_int_equal(pthread_mutex_trylock(&a), 0);
    assert_int_equal(pthread_mutex_trylock(&b), 0);
    pthread_mutex_unlock(&a);
    pthread_mutex_unlock(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_grow_and_stay_terminated),
        cmocka_unit_test(zero_bytes_are_bytes),
        cmocka_unit_test(adding_nothing_makes_an_empty_text),
        cmocka_unit_test(sizes_that_cannot_be_are_refused_unchanged),
        cmocka_unit_test(reset_keeps_the_memory),
        cmocka_unit_test(taken_text_leaves_an_empty_buf),
        cmocka_unit_test(pointers_and_descriptors_are_handed_over),
        cmocka_unit_test(closing_keeps_errno),
        cmocka_unit_test(locks_end_with_their_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
