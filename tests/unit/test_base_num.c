/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "test.h"

static void add_refuses_what_does_not_fit(void **state)
{
    uint64_t r = 7;

    (void)state;
    assert_true(num_add(UINT64_MAX - 1, 1, &r));
    assert_true(r == UINT64_MAX);
    r = 7;
    assert_false(num_add(UINT64_MAX, 1, &r));
    assert_true(r == 7);
}

static void mul_refuses_what_does_not_fit(void **state)
{
    uint64_t r = 7;

    (void)state;
    assert_true(num_mul(UINT64_MAX, 1, &r));
    assert_true(r == UINT64_MAX);
    r = 7;
    assert_false(num_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &r));
    assert_true(r == 7);
}

static void div_up_works_at_the_edges(void **state)
{
    (void)state;
    assert_true(num_div_up(0, 4096) == 0);
    assert_true(num_div_up(1, 4096) == 1);
    assert_true(num_div_up(4096, 4096) == 1);
    assert_true(num_div_up(4097, 4096) == 2);
    assert_true(num_div_up(UINT64_MAX, 2) == (uint64_t)1 << 63);
}

static void powers_of_two(void **state)
{
    (void)state;
    assert_false(num_is_pow2(0));
    assert_true(num_is_pow2(1));
    assert_true(num_is_pow2((uint64_t)1 << 63));
    assert_false(num_is_pow2(UINT64_MAX));
}

static void little_endian_is_byte_exact(void **state)
{
    static const uint8_t bytes[8] = { 0xf8, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0xf1 };
    uint8_t out[8];

    (void)state;
    assert_int_equal(num_get_le16(bytes), 0x07f8);
    assert_true(num_get_le32(bytes) == 0x050607f8);
    assert_true(num_get_le64(bytes) == 0xf1020304050607f8);
    num_put_le64(out, 0xf1020304050607f8);
    assert_memory_equal(out, bytes, 8);
    num_put_le32(out, 0x050607f8);
    assert_memory_equal(out, bytes, 4);
    num_put_le16(out, 0x07f8);
    assert_memory_equal(out, bytes, 2);
}

static void whole_numbers_are_parsed(void **state)
{
    struct err err = ERR_INIT;
    uint64_t v;

    (void)state;
    assert_ok(num_parse_u64("0", 0, 10, &v, &err));
    assert_true(v == 0);
    assert_ok(num_parse_u64("18446744073709551615", 0, UINT64_MAX, &v, &err));
    assert_true(v == UINT64_MAX);
    assert_ok(num_parse_u64("007", 7, 7, &v, &err));
    assert_true(v == 7);
}

static void other_text_is_no_number(void **state)
{
    static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "0x10", "1.0", "1e3", "ten", "\xd9\xa1" };
    struct err err = ERR_INIT;
    uint64_t v = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, num_parse_u64(bad[i], 0, UINT64_MAX, &v, &err));
    assert_true(v == 99);
}

static void numbers_out_of_range_are_told_apart(void **state)
{
    struct err err = ERR_INIT;
    uint64_t v = 99;

    (void)state;
    assert_fails(ERANGE, num_parse_u64("18446744073709551616", 0, UINT64_MAX, &v, &err));
    assert_fails(ERANGE, num_parse_u64("99999999999999999999999", 0, UINT64_MAX, &v, &err));
    assert_fails(ERANGE, num_parse_u64("4", 5, 10, &v, &err));
    assert_fails(ERANGE, num_parse_u64("11", 5, 10, &v, &err));
    assert_true(v == 99);
}

static void sizes_are_parsed(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "12b", 12 },
        { "64K", 65536 },
        { "64k", 65536 },
        { "10MiB", 10 * MIB },
        { "10mib", 10 * MIB },
        { "1.5G", GIB + GIB / 2 },
        { "0.25K", 256 },
        { "2T", 2 * 1024 * GIB },
        { "1P", 1024 * 1024 * GIB },
        { "15E", (uint64_t)15 << 60 },
    };
    struct err err = ERR_INIT;
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_ok(num_parse_size(cases[i].text, &v, &err));
        assert_true(v == cases[i].bytes);
    }
    assert_ok(num_parse_size("15.999999999E", &v, &err));
    assert_true(v > (uint64_t)15 << 60);
}

static void other_text_is_no_size(void **state)
{
    static const char *const bad[] = { "",    "K",   ".5G", "1.G", "1.5",   "1.5B",          "-1K", " 1K",
                                       "1K ", "1KB", "1GB", "1Ki", "1KiBs", "1.0000000001K", "1 K", "1,5G" };
    struct err err = ERR_INIT;
    uint64_t v = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, num_parse_size(bad[i], &v, &err));
    assert_true(v == 99);
}

static void sizes_beyond_64_bits_are_refused(void **state)
{
    struct err err = ERR_INIT;
    uint64_t v = 99;

    (void)state;
    assert_fails(ERANGE, num_parse_size("16E", &v, &err));
    assert_fails(ERANGE, num_parse_size("18446744073709551615K", &v, &err));
    assert_fails(ERANGE, num_parse_size("18446744073709551616", &v, &err));
    assert_true(v == 99);
}

static void sizes_are_written_rounded(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0 B" },
        { 640, "640 B" },
        { 1023, "1023 B" },
        { 1024, "1.0 KiB" },
        { GIB + GIB / 2, "1.5 GiB" },
        { MIB - 1, "1.0 MiB" },
        { 1024 * 999 + 51, "999.0 KiB" },
        { 1024 * 999 + 52, "999.1 KiB" },
        { UINT64_MAX, "16.0 EiB" },
    };
    char text[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(num_format_size(cases[i].bytes, text), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_refuses_what_does_not_fit),
        cmocka_unit_test(mul_refuses_what_does_not_fit),
        cmocka_unit_test(div_up_works_at_the_edges),
        cmocka_unit_test(powers_of_two),
        cmocka_unit_test(little_endian_is_byte_exact),
        cmocka_unit_test(whole_numbers_are_parsed),
        cmocka_unit_test(other_text_is_no_number),
        cmocka_unit_test(numbers_out_of_range_are_told_apart),
        cmocka_unit_test(sizes_are_parsed),
        cmocka_unit_test(other_text_is_no_size),
        cmocka_unit_test(sizes_beyond_64_bits_are_refused),
        cmocka_unit_test(sizes_are_written_rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
