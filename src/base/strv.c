/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/strv.h"
#include "base/buf.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

void strv_free(char **v)
{
    if (!v)
        return;
    for (size_t i = 0; v[i]; i++)
        free(v[i]);
    free(v);
}

size_t strv_len(char *const *v)
{
    size_t n = 0;

    while (v && v[n])
        n++;
    return n;
}

bool strv_has(char *const *v, const char *s)
{
    for (; v && *v; v++)
        if (strcmp(*v, s) == 0)
            return true;
    return false;
}

/* Takes ownership of s, also on failure. */
static int strv_add_owned(char ***v, char *s)
{
    _cleanup_free_ char *owned = s;
    size_t n = strv_len(*v);

    if (!owned)
        return -ENOMEM;
    char **grown = reallocarray(*v, n + 2, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    grown[n] = TAKE_PTR(owned);
    grown[n + 1] = NULL;
    *v = grown;
    return 0;
}

int strv_add(char ***v, const char *s)
{
    return strv_add_owned(v, strdup(s));
}

int strv_addf(char ***v, const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;

    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return n < 0 ? -ENOMEM : strv_add_owned(v, s);
}

char **strv_copy(char *const *v)
{
    _cleanup_strv_ char **copy = NULL;

    for (; v && *v; v++)
        if (strv_add(&copy, *v) < 0)
            return NULL;
    return TAKE_PTR(copy);
}

char **strv_split(const char *s, char sep)
{
    _cleanup_strv_ char **pieces = NULL;
    const char *start = s;

    for (const char *p = s;; p++) {
        if (*p && *p != sep)
            continue;
        if (p > start && strv_add_owned(&pieces, strndup(start, (size_t)(p - start))) < 0)
            return NULL;
        if (!*p)
            return TAKE_PTR(pieces);
        start = p + 1;
    }
}

char *strv_join(char *const *v, const char *sep)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    for (size_t i = 0; v && v[i]; i++)
        if ((i && buf_adds(&b, sep) < 0) || buf_adds(&b, v[i]) < 0)
            return NULL;
    return buf_take_str(&b);
}

static int strv_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **v)
{
    size_t n = strv_len(v);

    if (n > 1)
        qsort(v, n, sizeof *v, strv_compare);
}
