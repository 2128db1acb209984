/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an NBD server says of a disk's ranges, and what is done with each chunk (B4: only what changed, only what is not zero). */
#include "test.h"

#include "transfer/extents.h"

#define K 1024u
#define HOLE_ZERO 3u

static void status(struct extent_status *s, uint64_t start, const uint32_t *entries, size_t n, uint64_t limit)
{
    struct err err = ERR_INIT;

    extent_status_reset(s, start);
    assert_ok(extent_status_add(s, start, entries, n, limit, &err));
}

static char *plan_text(const struct extent_status *alloc, const struct extent_status *dirty, uint64_t end)
{
    _cleanup_buf_ struct buf plan = BUF_INIT, text = BUF_INIT;
    struct err err = ERR_INIT;
    static const char kinds[] = "RZSN"; /* N: not dirty, and zeros */

    assert_ok(extent_plan(alloc, dirty, end, 64 * K, &plan, &err));
    const struct extent_piece *p = (const struct extent_piece *)(const void *)plan.data;
    for (size_t i = 0; i < plan.len / sizeof(*p); i++)
        buf_addf(&text, "%s%c %lluK+%lluK", i ? ", " : "", kinds[p[i].kind], (unsigned long long)p[i].off / K,
                 (unsigned long long)p[i].len / K);
    return buf_take_str(&text);
}

static void assert_plan(const struct extent_status *alloc, const struct extent_status *dirty, uint64_t end, const char *wanted)
{
    _cleanup_free_ char *text = plan_text(alloc, dirty, end);

    assert_string_equal(text, wanted);
}

static void release(struct extent_status *s)
{
    buf_free(&s->runs);
}

static void data_and_zeros_are_told_apart_by_chunk(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 };
    const uint32_t e[] = { 64 * K, 0, 256 * K, HOLE_ZERO, 64 * K, 0 };

    status(&alloc, 0, e, 6, 384 * K);
    assert_plan(&alloc, NULL, 384 * K, "R 0K+64K, Z 64K+256K, R 320K+64K");
}

/* A byte of data makes its whole chunk data: the store then need not put chunks together. */
static void a_chunk_is_zero_only_if_all_of_it_is(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 };
    const uint32_t e[] = { 100 * K, HOLE_ZERO, 4 * K, 0, 216 * K, HOLE_ZERO };

    status(&alloc, 0, e, 6, 320 * K);
    assert_plan(&alloc, NULL, 320 * K, "Z 0K+64K, R 64K+64K, Z 128K+192K");
}

static void a_hole_that_is_not_said_to_be_zero_is_read(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 };
    const uint32_t e[] = { 64 * K, 1, 64 * K, HOLE_ZERO };

    status(&alloc, 0, e, 4, 128 * K);
    assert_plan(&alloc, NULL, 128 * K, "R 0K+64K, Z 64K+64K");
}

static void b4_what_is_not_dirty_is_skipped(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 }, dirty = { 0 };
    const uint32_t a[] = { 192 * K, 0, 128 * K, HOLE_ZERO };
    const uint32_t d[] = { 64 * K, 0, 64 * K, 1, 64 * K, 0, 64 * K, 1, 64 * K, 0 };

    status(&alloc, 0, a, 4, 320 * K);
    status(&dirty, 0, d, 10, 320 * K);
    assert_plan(&alloc, &dirty, 320 * K, "S 0K+64K, R 64K+64K, S 128K+64K, Z 192K+64K, N 256K+64K");
}

static void the_end_of_an_image_may_be_no_whole_chunk(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 };
    const uint32_t e[] = { 64 * K, 0, 10 * K, HOLE_ZERO };

    status(&alloc, 128 * K, e, 4, 202 * K);
    assert_plan(&alloc, NULL, 202 * K, "R 128K+64K, Z 192K+10K");
}

/* Servers may tell more than was asked, and tell the same again when one context reached further than another. */
static void answers_that_overlap_or_overshoot_are_cut(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 };
    struct err err = ERR_INIT;
    const uint32_t first[] = { 64 * K, 0 }, again[] = { 64 * K, 0, 512 * K, HOLE_ZERO };

    status(&alloc, 0, first, 2, 192 * K);
    assert_ok(extent_status_add(&alloc, 0, again, 4, 192 * K, &err));
    assert_int_equal(alloc.end, 192 * K);
    assert_plan(&alloc, NULL, 192 * K, "R 0K+64K, Z 64K+128K");
}

static void gaps_and_missing_ends_are_refused(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 };
    _cleanup_buf_ struct buf plan = BUF_INIT;
    struct err err = ERR_INIT;
    const uint32_t e[] = { 64 * K, 0 };

    status(&alloc, 0, e, 2, 192 * K);
    assert_fails(EPROTO, extent_status_add(&alloc, 128 * K, e, 2, 192 * K, &err));
    assert_fails(EPROTO, extent_plan(&alloc, NULL, 192 * K, 64 * K, &plan, &err));
}

/* A list tells nothing of what was cut out of a file: what reads as zeros counts as changed. */
static void b4_a_list_of_changes_is_taken_by_windows(void **state)
{
    (void)state;
    _cleanup_(release) struct extent_status alloc = { 0 }, dirty = { 0 };
    const uint32_t a[] = { 192 * K, 0, 64 * K, HOLE_ZERO, 128 * K, 0 };
    const struct kvss_range changed[] = { { 0, 10 * K }, { 190 * K, 4 * K }, { 600 * K, 64 * K } };
    uint64_t bytes = 0;

    status(&alloc, 0, a, 6, 384 * K);
    assert_int_equal(extent_status_changed(&dirty, &alloc, changed, 3, 384 * K, &bytes), 0);
    assert_int_equal(bytes, 14 * K);
    assert_plan(&alloc, &dirty, 384 * K, "R 0K+64K, S 64K+64K, R 128K+64K, Z 192K+64K, S 256K+128K");

    const uint32_t more[] = { 320 * K, 0 };
    status(&alloc, 384 * K, more, 2, 704 * K);
    assert_int_equal(extent_status_changed(&dirty, &alloc, changed, 3, 704 * K, &bytes), 0);
    assert_int_equal(bytes, 64 * K);
    assert_plan(&alloc, &dirty, 704 * K, "S 384K+192K, R 576K+128K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_and_zeros_are_told_apart_by_chunk),     cmocka_unit_test(a_chunk_is_zero_only_if_all_of_it_is),
        cmocka_unit_test(a_hole_that_is_not_said_to_be_zero_is_read), cmocka_unit_test(b4_what_is_not_dirty_is_skipped),
        cmocka_unit_test(the_end_of_an_image_may_be_no_whole_chunk),  cmocka_unit_test(answers_that_overlap_or_overshoot_are_cut),
        cmocka_unit_test(gaps_and_missing_ends_are_refused),          cmocka_unit_test(b4_a_list_of_changes_is_taken_by_windows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
