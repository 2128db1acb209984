/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two files that share blocks, by their extents (B4). */
#include "test.h"

#include "base/buf.h"
#include "base/io_changes.h"
#include <linux/fiemap.h>
#include <stdlib.h>

#define K 1024u
#define E(off, len, place, flags)            \
    {                                        \
        (off) * K, (len)*K, (place)*K, flags \
    }

static char *changes_text(const struct io_extent *a, size_t n_a, const struct io_extent *b, size_t n_b, uint64_t size)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct kvss_range *list = NULL;
    size_t n = 0;

    const struct io_extents ea = { a, n_a }, eb = { b, n_b };

    assert_int_equal(io_compare_extents(&ea, &eb, size, &list, &n), 0);
    for (size_t i = 0; i < n; i++)
        buf_addf(&text, "%s%lluK+%lluK", i ? ", " : "", (unsigned long long)list[i].offset / K, (unsigned long long)list[i].length / K);
    free(list);
    return buf_take_str(&text);
}

#define assert_changes(a, b, size, wanted)                                                       \
    do {                                                                                         \
        _cleanup_free_ char *text_ = changes_text(a, ARRAY_SIZE(a), b, ARRAY_SIZE(b), (size)*K); \
        assert_string_equal(text_, wanted);                                                      \
    } while (0)

static void b4_what_lies_in_the_same_place_has_not_changed(void **state)
{
    (void)state;
    const struct io_extent a[] = { E(0, 1024, 5000, 0) };
    const struct io_extent cut[] = { E(0, 256, 5000, FIEMAP_EXTENT_SHARED), E(256, 256, 9000, 0),
                                     E(512, 512, 5512, FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED) };

    assert_changes(a, a, 1024, "");
    assert_changes(a, cut, 1024, "256K+256K");
    assert_changes(cut, a, 1024, "256K+256K");
}

static void a_hole_differs_from_data_and_not_from_a_hole(void **state)
{
    (void)state;
    const struct io_extent a[] = { E(256, 256, 5000, 0), E(1024, 256, 6000, 0) };
    const struct io_extent b[] = { E(1024, 256, 6000, 0), E(1536, 256, 7000, 0) };

    assert_changes(a, b, 4096, "256K+256K, 1536K+256K");
}

static void the_same_blocks_at_another_offset_are_a_change(void **state)
{
    (void)state;
    const struct io_extent a[] = { E(0, 512, 5000, 0) };
    const struct io_extent moved[] = { E(256, 256, 5000, 0) };

    assert_changes(a, moved, 1024, "0K+512K");
}

static void blocks_that_were_allocated_only_and_written_since_have_changed(void **state)
{
    (void)state;
    const struct io_extent a[] = { E(0, 512, 5000, FIEMAP_EXTENT_UNWRITTEN) };
    const struct io_extent b[] = { E(0, 128, 5000, FIEMAP_EXTENT_UNWRITTEN), E(128, 128, 5128, 0),
                                   E(256, 256, 5256, FIEMAP_EXTENT_UNWRITTEN) };

    assert_changes(a, a, 512, "");
    assert_changes(a, b, 512, "128K+128K");
}

static void where_the_place_tells_nothing_all_counts_as_changed(void **state)
{
    (void)state;
    const uint32_t unsure[] = { FIEMAP_EXTENT_ENCODED, FIEMAP_EXTENT_DELALLOC, FIEMAP_EXTENT_UNKNOWN, FIEMAP_EXTENT_DATA_INLINE };

    for (size_t i = 0; i < ARRAY_SIZE(unsure); i++) {
        const struct io_extent a[] = { E(0, 512, 5000, unsure[i]), E(512, 512, 8000, 0) };
        assert_changes(a, a, 1024, "0K+512K");
    }
}

static void close_changes_are_joined_and_cut_at_the_end(void **state)
{
    (void)state;
    const struct io_extent a[] = { E(0, 1024, 5000, 0) };
    const struct io_extent b[] = { E(0, 4, 1, 0), E(4, 60, 5004, 0), E(64, 4, 100, 0), E(68, 700, 5068, 0), E(768, 400, 200, 0) };

    assert_changes(a, b, 1000, "0K+68K, 768K+232K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b4_what_lies_in_the_same_place_has_not_changed),
        cmocka_unit_test(a_hole_differs_from_data_and_not_from_a_hole),
        cmocka_unit_test(the_same_blocks_at_another_offset_are_a_change),
        cmocka_unit_test(blocks_that_were_allocated_only_and_written_since_have_changed),
        cmocka_unit_test(where_the_place_tells_nothing_all_counts_as_changed),
        cmocka_unit_test(close_changes_are_joined_and_cut_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
