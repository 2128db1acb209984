/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/strv.h"
#include "test.h"

static void no_vector_is_an_empty_one(void **state)
{
    (void)state;
    assert_int_equal(strv_len(NULL), 0);
    assert_false(strv_has(NULL, "a"));
    assert_null(strv_copy(NULL));
    _cleanup_free_ char *joined = strv_join(NULL, ",");
    assert_string_equal(joined, "");
    strv_sort(NULL);
    strv_free(NULL);
}

static void strings_are_copied_in(void **state)
{
    _cleanup_strv_ char **v = NULL;
    char text[] = "one";

    (void)state;
    assert_int_equal(strv_add(&v, text), 0);
    text[0] = 'X';
    assert_int_equal(strv_addf(&v, "%d%s", 2, "nd"), 0);
    assert_int_equal(strv_len(v), 2);
    assert_string_equal(v[0], "one");
    assert_string_equal(v[1], "2nd");
    assert_null(v[2]);
    assert_true(strv_has(v, "2nd"));
    assert_false(strv_has(v, "2n"));
}

static void copies_are_independent(void **state)
{
    _cleanup_strv_ char **v = strv_split("a,b", ',');
    _cleanup_strv_ char **w = strv_copy(v);

    (void)state;
    v[0][0] = 'z';
    assert_string_equal(w[0], "a");
    assert_int_equal(strv_len(w), 2);
}

static void split_drops_empty_pieces(void **state)
{
    _cleanup_strv_ char **v = strv_split(",,a,,bc,", ',');
    _cleanup_strv_ char **whole = strv_split("abc", ',');

    (void)state;
    assert_int_equal(strv_len(v), 2);
    assert_string_equal(v[0], "a");
    assert_string_equal(v[1], "bc");
    assert_int_equal(strv_len(whole), 1);
    assert_null(strv_split("", ','));
    assert_null(strv_split(",,,", ','));
}

static void join_is_the_reverse(void **state)
{
    _cleanup_strv_ char **v = strv_split("a,b,c", ',');
    _cleanup_free_ char *s = strv_join(v, ", ");

    (void)state;
    assert_string_equal(s, "a, b, c");
}

static void sort_is_by_bytes(void **state)
{
    _cleanup_strv_ char **v = strv_split("b a10 a2 B", ' ');

    (void)state;
    strv_sort(v);
    _cleanup_free_ char *s = strv_join(v, " ");
    assert_string_equal(s, "B a10 a2 b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_vector_is_an_empty_one), cmocka_unit_test(strings_are_copied_in), cmocka_unit_test(copies_are_independent),
        cmocka_unit_test(split_drops_empty_pieces),  cmocka_unit_test(join_is_the_reverse),   cmocka_unit_test(sort_is_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
