/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/text.h"
#include <errno.h>
#include <libxml/chvalid.h>
#include <libxml/xmlstring.h>
#include <stdio.h>
#include <string.h>

/* Length of the character at s, or 0 if there is none that XML can carry. */
static size_t char_len(const char *s, size_t left)
{
    unsigned char first = (unsigned char)*s;
    int len = left > 6 ? 6 : (int)left;

    if (first < 0x80)
        return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
    int c = xmlGetUTF8Char((const unsigned char *)s, &len);
    if (c < 0x80 || !xmlIsCharQ((unsigned)c) || len <= 0)
        return 0;
    /* Only the shortest form: otherwise what is read back differs from what was written. */
    int shortest = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    return len == shortest ? (size_t)len : 0;
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
            return err_set(err, EINVAL, "%s has a byte at offset %zu that is no printable UTF-8", what, i);
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
        return err_set(err, EINVAL, "component name '%s' has a backslash, which separates logical paths", name);
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
        return err_errno(err, ENOMEM, "cannot keep a string");
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
