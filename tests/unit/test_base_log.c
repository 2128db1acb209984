/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"
#include "test.h"

struct seen {
    unsigned n;
    enum log_level level;
    char line[8192];
};

static void keep(void *priv, enum log_level level, const char *line)
{
    struct seen *s = priv;

    s->n++;
    s->level = level;
    snprintf(s->line, sizeof s->line, "%s", line);
}

static void lines_reach_the_writer_with_their_level(void **state)
{
    struct seen s = { 0 };
    struct log log = { keep, &s, LOG_LEVEL_INFO };

    (void)state;
    log_warning(&log, "disk %s is %d", "vda", 5);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.level, LOG_LEVEL_WARNING);
    assert_string_equal(s.line, "disk vda is 5");
}

static void lines_above_the_level_are_dropped(void **state)
{
    struct seen s = { 0 };
    struct log log = { keep, &s, LOG_LEVEL_WARNING };

    (void)state;
    log_info(&log, "x");
    log_debug(&log, "x");
    assert_int_equal(s.n, 0);
    log_error(&log, "x");
    assert_int_equal(s.n, 1);
}

static void no_log_is_fine(void **state)
{
    struct log silent = { NULL, NULL, LOG_LEVEL_DEBUG };

    (void)state;
    log_error(NULL, "x");
    log_error(&silent, "x");
}

static void a_line_stays_one_line_and_harmless(void **state)
{
    struct seen s = { 0 };
    struct log log = { keep, &s, LOG_LEVEL_DEBUG };

    (void)state;
    log_debug(&log, "a\nb\tc\x1b[2Jd\r");
    assert_string_equal(s.line, "a b c?[2Jd?");
}

static void long_lines_are_cut(void **state)
{
    struct seen s = { 0 };
    struct log log = { keep, &s, LOG_LEVEL_DEBUG };
    char text[6000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_debug(&log, "%s", text);
    assert_int_equal(strlen(s.line), 4095);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_reach_the_writer_with_their_level),
        cmocka_unit_test(lines_above_the_level_are_dropped),
        cmocka_unit_test(no_log_is_fine),
        cmocka_unit_test(a_line_stays_one_line_and_harmless),
        cmocka_unit_test(long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
