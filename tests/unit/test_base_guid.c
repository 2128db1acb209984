/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/guid.h"
#include "test.h"

static void new_ones_are_version_4_and_differ(void **state)
{
    struct guid a = guid_new(), b = guid_new();

    (void)state;
    assert_true(guid_parse(a.text, NULL));
    assert_int_equal(a.text[14], '4');
    assert_non_null(strchr("89ab", a.text[19]));
    assert_string_not_equal(a.text, b.text);
}

static void any_case_and_braces_become_canonical(void **state)
{
    struct guid g;

    (void)state;
    assert_true(guid_parse("{66841CD4-6DED-4F4B-8F17-FD23F8DDC3DE}", &g));
    assert_string_equal(g.text, "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de");
}

static void other_text_is_no_guid(void **state)
{
    static const char *const bad[] = {
        "",
        "66841cd4-6ded-4f4b-8f17-fd23f8ddc3d",
        "66841cd4-6ded-4f4b-8f17-fd23f8ddc3def",
        "66841cd4-6ded-4f4b-8f17-fd23f8ddc3dg",
        "66841cd4+6ded-4f4b-8f17-fd23f8ddc3de",
        "66841cd4-6ded-4f4b-8f17fd23-f8ddc3de",
        "{66841cd4-6ded-4f4b-8f17-fd23f8ddc3de",
        "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de}",
        "(66841cd4-6ded-4f4b-8f17-fd23f8ddc3de)",
        "66841cd4-6ded-4f4b-8f17-fd23f8ddc3d\xe9",
        "------------------------------------",
    };
    struct guid g = { "kept" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(guid_parse(bad[i], &g));
    assert_false(guid_parse(NULL, &g));
    assert_string_equal(g.text, "kept");
}

static void equality_ignores_case(void **state)
{
    (void)state;
    assert_true(guid_equal("66841CD4-6ded-4f4b-8f17-fd23f8ddc3de", "66841cd4-6DED-4f4b-8f17-fd23f8ddc3de"));
    assert_false(guid_equal("66841cd4-6ded-4f4b-8f17-fd23f8ddc3de", "66841cd4-6ded-4f4b-8f17-fd23f8ddc3df"));
    assert_false(guid_equal(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_ones_are_version_4_and_differ),
        cmocka_unit_test(any_case_and_braces_become_canonical),
        cmocka_unit_test(other_text_is_no_guid),
        cmocka_unit_test(equality_ignores_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
