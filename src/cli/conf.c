/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A parser of our own: the library that read kvss.conf first cuts lines at a length chosen when it is built, ends names of sections
 * at the first bracket, and takes what follows " ;" for a comment. */
#include "cli/conf.h"
#include "base/cleanup.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Cuts blanks off both ends of text[0..n); puts an end to it, for which there is room. */
static char *trim(char *text, size_t n)
{
    while (n && is_blank(text[n - 1]))
        n--;
    text[n] = '\0';
    while (is_blank(*text))
        text++;
    return text;
}

struct conf {
    char *section; /* in the text */
    conf_line_fn *fn;
    void *priv;
};

static int take_section(struct conf *c, char *line, struct err *err)
{
    size_t n = strlen(line);

    if (n < 2 || line[n - 1] != ']')
        return err_set(err, EINVAL, "a section header needs a closing ]; comments need lines of their own");
    line[n - 1] = '\0';
    c->section = line + 1;
    return c->fn(c->priv, c->section, NULL, NULL, err);
}

static int conf_take_line(struct conf *c, char *line, struct err *err)
{
    if (!*line || *line == '#' || *line == ';')
        return 0;
    if (*line == '[')
        return take_section(c, line, err);
    char *sign = strpbrk(line, "=:"); /* no name of a setting has one of them */
    if (!sign || sign == line)
        return err_set(err, EINVAL, "expected 'name = value'");
    char *value = sign + 1;
    return c->fn(c->priv, c->section, trim(line, (size_t)(sign - line)), trim(value, strlen(value)), err);
}

int conf_parse(char *text, size_t n, conf_line_fn *fn, void *priv, size_t *ret_line, struct err *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin a file with it */
    struct conf c = { .section = (char *)(uintptr_t) "", .fn = fn, .priv = priv };
    size_t at = n >= 3 && !memcmp(text, mark, 3) ? 3 : 0;
    _cleanup_free_ char *last = NULL;

    for (*ret_line = 1; at < n; ++*ret_line) {
        char *line = text + at, *end = memchr(line, '\n', n - at);
        size_t len = end ? (size_t)(end - line) : n - at;
        if (memchr(line, '\0', len))
            return err_set(err, EINVAL, "the line contains a NUL byte");
        if (!end && !(line = last = strndup(line, len))) /* there may be no room behind it */
            return err_nomem(err);
        int r = conf_take_line(&c, trim(line, len), err);
        if (r < 0)
            return r;
        at += len + 1;
    }
    return 0;
}
