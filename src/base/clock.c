/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec t = { 0 };

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return (int64_t)read_us(CLOCK_REALTIME);
}

char *clock_format(int64_t wall_us, char buf[static 32])
{
    int64_t s = wall_us / 1000000, us = wall_us % 1000000;
    struct tm tm = { 0 };

    if (us < 0) {
        us += 1000000;
        s--;
    }
    time_t t = (time_t)s;
    gmtime_r(&t, &tm);
    snprintf(buf, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(us / 1000));
    return buf;
}

/* Consumes exactly n digits followed by the character `end`. */
static bool take_field(const char **s, int n, char end, int *ret)
{
    int v = 0;

    for (; n > 0; n--, ++*s) {
        if (**s < '0' || **s > '9')
            return false;
        v = v * 10 + (**s - '0');
    }
    *ret = v;
    return end == 0 || *(*s)++ == end;
}

/* Consumes ".123" to microseconds; digits past the sixth are dropped. */
static bool clock_take_fraction(const char **s, int64_t *ret)
{
    int64_t scale = 100000;

    *ret = 0;
    if (**s != '.')
        return true;
    if (*++*s < '0' || **s > '9')
        return false;
    for (; **s >= '0' && **s <= '9'; ++*s, scale /= 10)
        *ret += (**s - '0') * scale;
    return true;
}

static bool same_time(const struct tm *a, const struct tm *b)
{
    return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday && a->tm_hour == b->tm_hour &&
           a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

int clock_parse(const char *s, int64_t *ret_wall_us, struct err *err)
{
    struct tm tm = { 0 };
    const char *p = s;
    int64_t us;

    bool ok = take_field(&p, 4, '-', &tm.tm_year) && take_field(&p, 2, '-', &tm.tm_mon) && take_field(&p, 2, 'T', &tm.tm_mday) &&
              take_field(&p, 2, ':', &tm.tm_hour) && take_field(&p, 2, ':', &tm.tm_min) && take_field(&p, 2, 0, &tm.tm_sec) &&
              clock_take_fraction(&p, &us) && strcmp(p, "Z") == 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm given = tm;
    time_t t = ok ? timegm(&tm) : 0;
    /* timegm() turns the 31st of February into a day in March; a record that says so is wrong. */
    if (!ok || !same_time(&given, &tm))
        return err_set(err, EINVAL, "\"%s\" is not a time such as 2026-11-22T21:13:05.123Z", s);
    *ret_wall_us = (int64_t)t * 1000000 + us;
    return 0;
}

char *clock_format_local(int64_t wall_us, char buf[static 40])
{
    time_t t = (time_t)(wall_us / 1000000 - (wall_us % 1000000 < 0));
    struct tm tm = { 0 };

    localtime_r(&t, &tm);
    long minutes = labs(tm.tm_gmtoff) / 60;
    snprintf(buf, 40, "%04d-%02d-%02d %02d:%02d:%02d %c%02ld:%02ld", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
             tm.tm_sec, tm.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
    return buf;
}

/* A time as it was written. */
struct written {
    struct tm tm;
    int64_t us;      /* below the second */
    int64_t rest_us; /* what is left of the finest part that was written, less one: of the day, the minute, the second ... */
    bool zone;       /* it names one; else it is local time */
    int east_s;
};

/* Consumes ".123", and says how long the last digit's worth lasts. */
static bool take_part(const char **s, struct written *w)
{
    const char *digits = *s + 1;

    if (**s != '.')
        return true;
    if (!clock_take_fraction(s, &w->us))
        return false;
    w->rest_us = 1000000;
    for (ptrdiff_t n = *s - digits; n > 0 && w->rest_us > 1; n--)
        w->rest_us /= 10;
    w->rest_us--;
    return true;
}

/* "Z", "UTC", "+01:00", "+0100" or "+01", perhaps after a blank; or nothing. */
static bool take_zone(const char **s, struct written *w)
{
    int h = 0, m = 0;

    if (**s == ' ' && (*s)[1] != '\0')
        ++*s;
    w->zone = **s != '\0';
    if (!w->zone || strcmp(*s, "Z") == 0 || strcmp(*s, "UTC") == 0) {
        *s += strlen(*s);
        return true;
    }
    int sign = **s == '-' ? -1 : 1;
    if ((**s != '+' && **s != '-') || !(++*s, take_field(s, 2, 0, &h)))
        return false;
    *s += **s == ':' && (*s)[1] != '\0';
    w->east_s = 0;
    if (**s != '\0' && !take_field(s, 2, 0, &m))
        return false;
    w->east_s = sign * (h * 3600 + m * 60);
    return h <= 15 && m <= 59;
}

/* After the date: nothing, or a time of day. */
static bool take_day_time(const char **s, struct written *w)
{
    w->rest_us = 86400 * INT64_C(1000000) - 1;
    if (**s == '\0')
        return true;
    if ((**s != 'T' && **s != ' ') || !(++*s, take_field(s, 2, ':', &w->tm.tm_hour)) || !take_field(s, 2, 0, &w->tm.tm_min))
        return false;
    w->rest_us = 60 * 1000000 - 1;
    if (**s == ':') {
        w->rest_us = 1000000 - 1;
        if (!(++*s, take_field(s, 2, 0, &w->tm.tm_sec)) || !take_part(s, w))
            return false;
    }
    return take_zone(s, w) && **s == '\0';
}

/* An hour that the clocks jump over is moved by mktime(), and that is as good as any. A day has 23 or 25 hours now and then. */
static int64_t to_wall_us(struct written *w)
{
    if (w->zone)
        return (timegm(&w->tm) - w->east_s) * INT64_C(1000000) + w->us + w->rest_us;
    if (w->rest_us < 60 * 1000000)
        return mktime(&w->tm) * INT64_C(1000000) + w->us + w->rest_us;
    w->tm.tm_hour = 23;
    w->tm.tm_min = w->tm.tm_sec = 59;
    return mktime(&w->tm) * INT64_C(1000000) + 999999;
}

int clock_parse_local(const char *s, int64_t *ret_wall_us, struct err *err)
{
    struct written w = { .tm = { .tm_isdst = -1 } };
    const char *p = s;

    bool ok = take_field(&p, 4, '-', &w.tm.tm_year) && take_field(&p, 2, '-', &w.tm.tm_mon) && take_field(&p, 2, 0, &w.tm.tm_mday) &&
              take_day_time(&p, &w);
    w.tm.tm_year -= 1900;
    w.tm.tm_mon -= 1;
    struct tm given = w.tm;
    int64_t us = ok ? to_wall_us(&w) : 0;
    /* A day that does not exist is wrong. */
    if (!ok || given.tm_mday != w.tm.tm_mday || given.tm_mon != w.tm.tm_mon || given.tm_hour > 23 || given.tm_min > 59 || given.tm_sec > 59)
        return err_set(err, EINVAL,
                       "\"%s\" is not a time such as 2026-11-22, 2026-11-22 21:13, \"2026-11-22 21:13:05 +01:00\" or 2026-11-22T20:13:05Z",
                       s);
    *ret_wall_us = us;
    return 0;
}

void clock_sleep_ms(unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}
