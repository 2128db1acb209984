/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every unit test needs: cmocka with what it wants included first, and a folder that goes away again. */
#ifndef TEST_H
#define TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/buf.h"
#include "base/io.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The call succeeded; if not, the error's text is shown. Uses `err`, a struct err of the test. */
#define assert_ok(call)                                             \
    do {                                                            \
        err_clear(&err);                                            \
        int assert_ok_r_ = (call);                                  \
        if (assert_ok_r_ < 0)                                       \
            fail_msg("%s: %d (%s)", #call, assert_ok_r_, err.text); \
    } while (0)

/* The call failed with -code, and said so in err. */
#define assert_fails(errnum, call)            \
    do {                                      \
        err_clear(&err);                      \
        assert_int_equal((call), -(errnum));  \
        assert_int_equal(err.code, (errnum)); \
        assert_true(err.text[0] != '\0');     \
    } while (0)

/* As cmocka's, which compares byte by byte: that takes most of a test's time under valgrind. It has the word where they differ. */
#undef assert_memory_equal
#define assert_memory_equal(a, b, n)                                                   \
    do {                                                                               \
        const void *memory_a_ = (a), *memory_b_ = (b);                                 \
        size_t memory_n_ = (n);                                                        \
        if (memcmp(memory_a_, memory_b_, memory_n_) != 0)                              \
            _assert_memory_equal(memory_a_, memory_b_, memory_n_, __FILE__, __LINE__); \
    } while (0)

/* For use as setup and teardown: *state is the path of a new empty folder. */
static inline int test_dir_setup(void **state)
{
    char path[] = "/tmp/kvss-unit-XXXXXX";

    *state = mkdtemp(path) ? strdup(path) : NULL;
    return *state ? 0 : -1;
}

static inline int test_dir_teardown(void **state)
{
    struct err err = ERR_INIT;
    int r = io_remove_tree(*state, &err);

    if (r < 0)
        print_error("%s\n", err.text);
    free(*state);
    return r;
}

/* Ends a forked child with exit code 0 or 1. By becoming another program: valgrind would count what the threads of the parent,
 * which the child does not have, held in memory as lost. */
static inline _Noreturn void test_child_end(bool good)
{
    const char *program = good ? "true" : "false";

    execlp(program, program, (char *)NULL);
    _exit(1);
}

#define test_in_dir(f) cmocka_unit_test_setup_teardown(f, test_dir_setup, test_dir_teardown)

/* What a long loop counts by: under valgrind, which takes thirty times as long, a sample has to do. */
static inline unsigned test_stride(unsigned step)
{
    return getenv("KVSS_TEST_VALGRIND") && !getenv("KVSS_TEST_FULL") ? step : 1;
}

/* xorshift: the same bytes in every run. */
static inline uint64_t rnd(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

static inline void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline void assert_file_text(const char *path, const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_ok(io_read_file(path, 1 << 20, &b, &err));
    assert_string_equal((const char *)b.data, text);
}

#endif
