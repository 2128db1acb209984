/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The small parsers of src/base/: numbers, sizes, times, GUIDs, and the error texts that carry foreign words. */
#include "base/clock.h"
#include "base/guid.h"
#include "base/num.h"
#include "base/strv.h"
#include "fuzz.h"
#include <errno.h>
#include <string.h>

static void numbers(const char *s)
{
    uint64_t v = 1;

    if (num_parse_u64(s, 5, 1000, &v, NULL) == 0)
        FUZZ_REQUIRE(v >= 5 && v <= 1000);
    else
        FUZZ_REQUIRE(v == 1);
    if (num_parse_size(s, &v, NULL) == 0) {
        char text[16];
        FUZZ_REQUIRE(strlen(num_format_size(v, text)) < sizeof text);
    }
}

/* What is accepted is written the same way again. */
static void times(const char *s)
{
    int64_t t, again;
    char text[32];

    if (clock_parse(s, &t, NULL) < 0)
        return;
    FUZZ_REQUIRE(clock_parse(clock_format(t, text), &again, NULL) == 0);
    FUZZ_REQUIRE(t - again >= 0 && t - again < 1000);
}

static void guids(const char *s)
{
    struct guid g, again;

    if (!guid_parse(s, &g))
        return;
    FUZZ_REQUIRE(guid_parse(g.text, &again) && strcmp(g.text, again.text) == 0);
}

static void errors(const char *s)
{
    struct err err = ERR_INIT;

    err_set(&err, EINVAL, "%s", s);
    err_context(&err, "%s", s);
    for (const char *p = err.text; *p; p++)
        FUZZ_REQUIRE((unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t');
}

static void lists(const char *s)
{
    _cleanup_strv_ char **v = strv_split(s, ',');
    _cleanup_free_ char *joined = strv_join(v, ",");
    _cleanup_strv_ char **again = strv_split(joined, ',');

    FUZZ_REQUIRE(strv_len(v) == strv_len(again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *s = strndup((const char *)data, size);

    if (!s)
        return 0;
    numbers(s);
    times(s);
    guids(s);
    errors(s);
    lists(s);
    return 0;
}
