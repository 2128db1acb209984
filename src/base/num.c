/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void num_put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

void num_put_le32(uint8_t *p, uint32_t v)
{
    num_put_le16(p, (uint16_t)v);
    num_put_le16(p + 2, (uint16_t)(v >> 16));
}

void num_put_le64(uint8_t *p, uint64_t v)
{
    num_put_le32(p, (uint32_t)v);
    num_put_le32(p + 4, (uint32_t)(v >> 32));
}

uint16_t num_get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t num_get_le32(const uint8_t *p)
{
    return num_get_le16(p) | (uint32_t)num_get_le16(p + 2) << 16;
}

uint64_t num_get_le64(const uint8_t *p)
{
    return num_get_le32(p) | (uint64_t)num_get_le32(p + 4) << 32;
}

/* Consumes the digits at *s. -EINVAL: there is none; -ERANGE: more than 64 bits. */
static int take_digits(const char **s, uint64_t *ret)
{
    const char *p = *s;
    uint64_t v = 0;

    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++)
        if (!num_mul(v, 10, &v) || !num_add(v, (uint64_t)(*p - '0'), &v))
            return -ERANGE;
    *s = p;
    *ret = v;
    return 0;
}

int num_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct err *err)
{
    const char *p = s;
    uint64_t v;

    int r = take_digits(&p, &v);
    if (r == -EINVAL || (r == 0 && *p))
        return err_set(err, EINVAL, "\"%s\" is not a number", s);
    if (r < 0 || v < min || v > max)
        return err_set(err, ERANGE, "\"%s\" is out of range (%llu to %llu)", s, (unsigned long long)min, (unsigned long long)max);
    *ret = v;
    return 0;
}

static const char size_units[] = "KMGTPE";

/* Power of two of the unit text, or -1. "KB" is refused: some read it as 1000. */
static int unit_shift(const char *unit)
{
    if (!*unit || strcasecmp(unit, "B") == 0)
        return 0;
    for (int i = 0; size_units[i]; i++)
        if (strncasecmp(unit, &size_units[i], 1) == 0 && (!unit[1] || strcasecmp(unit + 1, "iB") == 0))
            return 10 * (i + 1);
    return -1;
}

/* Consumes ".5" to 5 and 10: at most 9 digits, so that the product with a unit fits 128 bits. */
static int num_take_fraction(const char **s, uint64_t *ret, uint64_t *ret_scale)
{
    *ret = 0;
    *ret_scale = 1;
    if (**s != '.')
        return 0;
    const char *start = ++*s;
    int r = take_digits(s, ret);
    if (r < 0 || *s - start > 9)
        return -EINVAL;
    for (ptrdiff_t i = *s - start; i > 0; i--)
        *ret_scale *= 10;
    return 0;
}

int num_parse_size(const char *s, uint64_t *ret, struct err *err)
{
    const char *p = s;
    uint64_t whole, frac, scale;

    int r = take_digits(&p, &whole);
    if (r == 0)
        r = num_take_fraction(&p, &frac, &scale);
    int shift = r == 0 ? unit_shift(p) : -1;
    if (r == -ERANGE)
        return err_set(err, ERANGE, "the size \"%s\" is too large", s);
    if (r < 0 || shift < 0 || (shift == 0 && scale > 1))
        return err_set(err, EINVAL, "\"%s\" is not a size: use bytes, or a number with K, M, G, T, P or E (1 K is 1024)", s);
    unsigned __int128 v = (unsigned __int128)whole << shift;
    v += ((unsigned __int128)frac << shift) / scale;
    if (v > UINT64_MAX)
        return err_set(err, ERANGE, "the size \"%s\" is too large", s);
    *ret = (uint64_t)v;
    return 0;
}

char *num_format_size(uint64_t bytes, char buf[static 16])
{
    if (bytes < 1024) {
        snprintf(buf, 16, "%u B", (unsigned)bytes);
        return buf;
    }
    for (int i = 0; size_units[i]; i++) {
        unsigned shift = 10 * (unsigned)(i + 1);
        /* Rounded to tenths; 1023.96 KiB is 1.0 MiB, not 1024.0 KiB. */
        uint64_t tenths = (uint64_t)(((unsigned __int128)bytes * 10 + ((uint64_t)1 << (shift - 1))) >> shift);
        if (tenths < 10240 || size_units[i + 1] == 0) {
            snprintf(buf, 16, "%u.%u %ciB", (unsigned)(tenths / 10), (unsigned)(tenths % 10), size_units[i]);
            break;
        }
    }
    return buf;
}
