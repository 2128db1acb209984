/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "test.h"

static void times_are_written_in_utc(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(clock_format(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_format(1795382000123999, text), "2026-11-22T21:13:20.123Z");
    assert_string_equal(clock_format(-1, text), "1969-12-31T23:59:59.999Z");
}

static void the_local_zone_plays_no_part(void **state)
{
    struct err err = ERR_INIT;
    int64_t t;
    char text[32];

    (void)state;
    setenv("TZ", "America/New_York", 1);
    assert_ok(clock_parse("2026-11-22T21:13:20.123Z", &t, &err));
    assert_true(t == 1795382000123000);
    assert_string_equal(clock_format(t, text), "2026-11-22T21:13:20.123Z");
    unsetenv("TZ");
}

static void fractions_are_optional_and_may_be_long(void **state)
{
    struct err err = ERR_INIT;
    int64_t t;

    (void)state;
    assert_ok(clock_parse("1970-01-01T00:00:01Z", &t, &err));
    assert_true(t == 1000000);
    assert_ok(clock_parse("1970-01-01T00:00:01.5Z", &t, &err));
    assert_true(t == 1500000);
    assert_ok(clock_parse("1970-01-01T00:00:00.123456789Z", &t, &err));
    assert_true(t == 123456);
    assert_ok(clock_parse("2024-02-29T23:59:59Z", &t, &err));
}

static void other_text_is_no_time(void **state)
{
    static const char *const bad[] = {
        "",
        "Z",
        "2026-11-22",
        "2026-11-22T21:13:20",
        "2026-11-22T21:13:20+00:00",
        "2026-11-22 21:13:20Z",
        "2026-11-22T21:13:20.Z",
        "2026-11-22T21:13:20.123Zx",
        "2026-1-22T21:13:20Z",
        "2026-13-22T21:13:20Z",
        "2026-00-22T21:13:20Z",
        "2023-02-29T00:00:00Z",
        "2026-11-31T21:13:20Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T21:60:20Z",
        "2026-11-22T21:13:61Z",
        "-026-11-22T21:13:20Z",
    };
    struct err err = ERR_INIT;
    int64_t t = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, clock_parse(bad[i], &t, &err));
    assert_true(t == 99);
}

static int64_t local(const char *text)
{
    struct err err = ERR_INIT;
    int64_t t = -1;

    assert_ok(clock_parse_local(text, &t, &err));
    return t;
}

#define SECOND INT64_C(1000000)

static void people_write_times_of_their_zone(void **state)
{
    (void)state;
    setenv("TZ", "UTC-2", 1); /* two hours east */
    tzset();
    assert_int_equal(local("1970-01-01 02:00"), 60 * SECOND - 1);
    assert_int_equal(local("1970-01-01T02:00:01"), 2 * SECOND - 1);
    assert_int_equal(local("1970-01-01 02:00:01.5"), 1600000 - 1);
    assert_int_equal(local("1970-01-01 02:00:01.512"), 1513000 - 1);
    assert_int_equal(local("1970-01-01 02:00:01.512345678"), 1512345);
    assert_int_equal(local("1970-01-01T00:00:01Z"), 2 * SECOND - 1);
    assert_int_equal(local("1970-01-01 00:01Z"), 120 * SECOND - 1);
    assert_int_equal(local("1970-01-01"), 22 * 3600 * SECOND - 1); /* the end of that day */
    unsetenv("TZ");
    tzset();
}

static void a_zone_that_is_written_goes_before_the_own(void **state)
{
    (void)state;
    setenv("TZ", "UTC-2", 1);
    tzset();
    assert_int_equal(local("1970-01-01 01:00:00 +01:00"), SECOND - 1);
    assert_int_equal(local("1970-01-01 01:00:00+0100"), SECOND - 1);
    assert_int_equal(local("1970-01-01T01:00:00+01"), SECOND - 1);
    assert_int_equal(local("1969-12-31 18:30:00 -05:30"), SECOND - 1);
    assert_int_equal(local("1970-01-01 00:00:00 UTC"), SECOND - 1);
    assert_int_equal(local("1970-01-01 05:45 +05:45"), 60 * SECOND - 1);
    unsetenv("TZ");
    tzset();
}

/* Also in the hour that there is twice, in zones with odd offsets, and before 1970. */
static void a_time_as_it_is_shown_finds_what_it_was_shown_of(void **state)
{
    static const char *const zones[] = { "UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "<+0545>-5:45", "<-0330>3:30" };
    static const int64_t times[] = { 0, 1795382000123999, 1792888200000000, 1792891800999999, 1792891799000001, -1, -86400000001 };
    char text[40], utc[32];

    (void)state;
    for (size_t z = 0; z < ARRAY_SIZE(zones); z++) {
        setenv("TZ", zones[z], 1);
        tzset();
        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
            int64_t back = local(clock_format_local(times[i], text));
            assert_true(back >= times[i] && back - times[i] < SECOND);
            back = local(clock_format(times[i], utc));
            assert_true(back >= times[i] && back - times[i] < SECOND / 1000);
        }
    }
    setenv("TZ", "UTC-2", 1);
    tzset();
    assert_string_equal(clock_format_local(1795382000123999, text), "2026-11-22 23:13:20 +02:00");
    setenv("TZ", "<-0330>3:30", 1);
    tzset();
    assert_string_equal(clock_format_local(-1, text), "1969-12-31 20:29:59 -03:30");
    unsetenv("TZ");
    tzset();
}

static void what_people_write_may_be_no_time(void **state)
{
    static const char *const bad[] = { "",
                                       "yesterday",
                                       "2026",
                                       "2026-11",
                                       "2026-11-31",
                                       "2026-11-22 ",
                                       "2026-11-22 24:00",
                                       "2026-11-22 12",
                                       "2026-11-22 12:60",
                                       "2026-11-22 12:00:",
                                       "2026-11-22 12:00:00.",
                                       "2026-11-22 12:00x",
                                       "2026-11-22Z",
                                       "2026-11-22 12:00Zz",
                                       "2026-13-01",
                                       "2026-11-22  12:00",
                                       "2026-11-22 12:00 ",
                                       "2026-11-22 12:00 +",
                                       "2026-11-22 12:00 +1",
                                       "2026-11-22 12:00 +01:",
                                       "2026-11-22 12:00 +01:0",
                                       "2026-11-22 12:00 +01:60",
                                       "2026-11-22 12:00 +16:00",
                                       "2026-11-22 12:00  +01:00",
                                       "2026-11-22 12:00 CET",
                                       "2026-11-22 +01:00" };
    struct err err = ERR_INIT;
    int64_t t = 99;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(EINVAL, clock_parse_local(bad[i], &t, &err));
    assert_int_equal(t, 99);
}

static void monotonic_time_goes_on_while_sleeping(void **state)
{
    uint64_t us = clock_mono_us(), ms = clock_mono_ms();

    (void)state;
    clock_sleep_ms(30);
    assert_true(clock_mono_us() - us >= 30000);
    assert_true(clock_mono_ms() - ms >= 29);
    assert_true(clock_mono_ms() - ms < 5000);
}

static void wall_clock_is_in_this_century(void **state)
{
    char text[32];

    (void)state;
    assert_memory_equal(clock_format(clock_wall_us(), text), "20", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_utc),
        cmocka_unit_test(the_local_zone_plays_no_part),
        cmocka_unit_test(fractions_are_optional_and_may_be_long),
        cmocka_unit_test(other_text_is_no_time),
        cmocka_unit_test(people_write_times_of_their_zone),
        cmocka_unit_test(a_zone_that_is_written_goes_before_the_own),
        cmocka_unit_test(a_time_as_it_is_shown_finds_what_it_was_shown_of),
        cmocka_unit_test(what_people_write_may_be_no_time),
        cmocka_unit_test(monotonic_time_goes_on_while_sleeping),
        cmocka_unit_test(wall_clock_is_in_this_century),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
