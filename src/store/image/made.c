/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which points were made. The wall clock tells it while it is right; a point that is made after one from the future still
 * has to be the latest. So each carries a number larger than those of all the points that its maker saw: docs/format.md, "made_us". */
#include "base/clock.h"
#include "store/point/point.h"
#include "store/image/image_open.h"
#include <errno.h>
#include <string.h>

#define MADE_MAX (INT64_MAX / 2) /* so that there is always a larger one */

/* Past the string that begins at p. */
static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : p;
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* The value of a key of the outermost object; NULL: it has none. Reads no further than the text, whatever that is. */
static const char *outer_value(const char *json, const char *key)
{
    size_t len = strlen(key);
    int64_t depth = 0;

    for (const char *p = json; *p;) {
        if (*p != '"') {
            depth += *p == '{' || *p == '[';
            depth -= *p == '}' || *p == ']';
            p++;
            continue;
        }
        const char *end = skip_string(p), *after = skip_blanks(end);
        if (depth == 1 && *after == ':' && (size_t)(end - p) == len + 2 && memcmp(p + 1, key, len) == 0)
            return skip_blanks(after + 1);
        p = end;
    }
    return NULL;
}

int64_t point_made(const char *meta, int64_t time_us, int64_t now_us)
{
    const char *p = outer_value(meta, "made_us");
    int64_t made = 0;

    for (; p && *p >= '0' && *p <= '9' && made <= MADE_MAX / 10; p++)
        made = made * 10 + (*p - '0');
    if (p && made > 0 && made <= MADE_MAX && strchr(",} \t\r\n", *p))
        return made;
    return store_is_ahead(time_us, now_us) ? 0 : time_us;
}

bool store_is_ahead(int64_t time_us, int64_t now_us)
{
    return time_us > now_us && time_us - now_us > STORE_AHEAD_US;
}

int64_t store_made_next(struct store *s)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    int64_t now = clock_wall_us(), next = now;
    size_t n = 0;

    if (point_list(&s->env, &ids, &n, NULL) < 0)
        return now;
    for (size_t i = 0; i < n; i++) {
        _cleanup_point_data_ struct point_data d = { 0 };
        if (point_get(&s->env, &ids[i], &d, NULL) < 0)
            continue;
        int64_t made = point_made(d.meta, d.time_us, INT64_MAX); /* whichever clock is wrong, this one or theirs */
        if (made >= next && made < MADE_MAX)
            next = made + 1;
    }
    return next;
}
