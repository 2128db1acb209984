/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/vss_text.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What XML 1.0 calls Char, from two bytes on. */
static bool is_xml_char(uint32_t c)
{
    return (c >= 0x80 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd) || (c >= 0x10000 && c <= 0x10ffff);
}

/* Length of the character at s, or 0 if there is none that XML can carry. Decoded here, so that whoever needs no documents is linked
 * without libxml2. Only the shortest form counts: otherwise what is read back differs from what was written. */
static size_t char_len(const char *s, size_t left)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = (unsigned char)*s;

    if (first < 0x80)
        return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc0 || first >= 0xf8 || len > left)
        return 0;
    uint32_t c = first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        unsigned char next = (unsigned char)s[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (next & 0x3fu);
    }
    return c >= smallest[len] && is_xml_char(c) ? len : 0;
}

int text_check(const char *s, size_t max, const char *what, struct err *err)
{
    if (!s)
        return err_set(err, EINVAL, "%s is missing", what);
    size_t n = strnlen(s, max + 1);
    if (n > max)
        return err_set(err, EINVAL, "%s is longer than %zu bytes", what, max);
    for (size_t i = 0; i < n;) {
        size_t len = char_len(s + i, n - i);
        if (len == 0)
            return err_set(err, EINVAL, "%s has a byte at offset %zu that is not printable UTF-8", what, i);
        i += len;
    }
    return 0;
}

int text_check_name(const char *s, size_t max, const char *what, struct err *err)
{
    if (!s || !*s)
        return err_set(err, EINVAL, "%s is missing", what);
    return text_check(s, max, what, err);
}

int text_check_component(const char *logical_path, const char *name, struct err *err)
{
    int r = text_check_name(name, TEXT_NAME_MAX, "component name", err);

    if (r < 0)
        return r;
    if (strchr(name, '\\'))
        return err_set(err, EINVAL, "component name '%s' contains a backslash, which separates logical paths", name);
    if (!logical_path || !*logical_path)
        return 0;
    r = text_check(logical_path, TEXT_PATH_MAX, "logical path", err);
    if (r < 0)
        return r;
    size_t n = strlen(logical_path);
    if (logical_path[0] == '\\' || logical_path[n - 1] == '\\' || strstr(logical_path, "\\\\"))
        return err_set(err, EINVAL, "logical path '%s' has an empty part", logical_path);
    return 0;
}

int text_keep(struct pool *p, const char *s, const char **ret, struct err *err)
{
    const char *copy = s ? pool_copy(p, s) : NULL;

    if (s && !copy)
        return err_nomem(err);
    *ret = copy;
    return 0;
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

bool text_same_component(const char *path_a, const char *name_a, const char *path_b, const char *name_b)
{
    return strcmp(or_empty(name_a), or_empty(name_b)) == 0 && strcmp(or_empty(path_a), or_empty(path_b)) == 0;
}

/* If s begins with prefix followed by a backslash or the end, what comes after; else NULL. */
static const char *skip_part(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(s, prefix, n) != 0)
        return NULL;
    return s[n] == '\\' ? s + n + 1 : s[n] == '\0' ? s + n : NULL;
}

bool text_is_ancestor(const char *path_a, const char *name_a, const char *logical_path)
{
    const char *rest = or_empty(logical_path);

    if (path_a && *path_a)
        rest = skip_part(rest, path_a);
    return rest && *rest && skip_part(rest, name_a) != NULL;
}

const char *text_component(char *buf, size_t n, const char *logical_path, const char *name)
{
    bool has_path = logical_path && *logical_path;

    snprintf(buf, n, "%s%s%s", has_path ? logical_path : "", has_path ? "\\" : "", or_empty(name));
    return buf;
}
