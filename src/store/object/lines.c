/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/lines.h"
#include "base/num.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void lines_free(struct lines *l)
{
    if (!l)
        return;
    free(l->text);
    free(l->names);
    free(l->values);
    *l = (struct lines){ 0 };
}

static bool printable(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != '\n' && (p[i] < 0x20 || p[i] > 0x7e))
            return false;
    return true;
}

static size_t count_lines(const char *p, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += p[i] == '\n';
    return count;
}

/* Cuts l->text (whose lines all end in a newline) behind its title; false if a line has no '='. */
static bool cut(struct lines *l, char *line)
{
    while (*line) {
        char *end = strchr(line, '\n'), *eq = strchr(line, '=');
        if (!eq || eq > end || eq == line)
            return false;
        *eq = *end = 0;
        l->names[l->count] = line;
        l->values[l->count++] = eq + 1;
        line = end + 1;
    }
    return true;
}

int lines_parse(const void *p, size_t n, const char *title, const char *what, struct lines *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = { 0 };
    size_t len = strlen(title);

    if (n > LINES_MAX_BYTES || n <= len || memcmp(p, title, len) != 0 || ((const char *)p)[len] != '\n' ||
        ((const char *)p)[n - 1] != '\n' || !printable(p, n))
        return err_set(err, EBADMSG, "%s is damaged: it does not begin with '%s' or is not text", what, title);
    size_t count = count_lines(p, n);
    l.text = malloc(n + 1);
    l.names = calloc(count, sizeof *l.names);
    l.values = calloc(count, sizeof *l.values);
    if (!l.text || !l.names || !l.values)
        return err_nomem(err);
    memcpy(l.text, p, n);
    l.text[n] = 0;
    if (!cut(&l, l.text + len + 1))
        return err_set(err, EBADMSG, "%s is damaged: a line is not of the form name=value", what);
    *ret = l;
    l = (struct lines){ 0 };
    return 0;
}

const char *lines_get(const struct lines *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->names[i], name) == 0)
            return l->values[i];
    return NULL;
}

int lines_get_u64(const struct lines *l, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
    const char *v = lines_get(l, name);

    return v && num_parse_u64(v, min, max, ret, NULL) == 0 ? 0 : -EBADMSG;
}

int lines_add(struct buf *b, const char *name, const char *value)
{
    if (buf_adds(b, name) < 0 || buf_adds(b, "=") < 0)
        return -ENOMEM;
    size_t from = b->len;
    if (buf_adds(b, value) < 0)
        return -ENOMEM;
    for (size_t i = from; i < b->len; i++)
        if (b->data[i] < 0x20 || b->data[i] > 0x7e)
            b->data[i] = '_';
    return buf_adds(b, "\n");
}

int lines_addf(struct buf *b, const char *name, const char *fmt, ...)
{
    char *value;
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM;
    n = lines_add(b, name, value);
    free(value);
    return n;
}
