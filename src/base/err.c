/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include <errno.h>
#pragma GCC visibility push(default) /* for providers that are shared objects */
#include <kvss/error.h>
#pragma GCC visibility pop
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* No half character where the text was cut. */
static void drop_half(char *text, size_t n)
{
    size_t start = n;

    while (start > 0 && n - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (n - (start - 1) < need)
        text[start - 1] = '\0';
}

/* The text ends up on terminals and in JSON while parts of it come from guests and files. */
static void sanitise(char *text, size_t size)
{
    size_t n = strlen(text);

    if (n + 1 >= size)
        drop_half(text, n);
    text_clean(text, true);
}

/* Formats into a scratch text first: the arguments may point into err->text. */
__attribute__((format(printf, 3, 0))) static int set(struct err *err, int code, const char *fmt, va_list ap)
{
    char text[KVSS_ERR_TEXT_MAX];

    if (code < 0)
        code = -code;
    if (code == 0)
        code = EIO;
    if (!err)
        return -code;
    if (vsnprintf(text, sizeof text, fmt, ap) < 0)
        text[0] = '\0';
    sanitise(text, sizeof text);
    err->code = code;
    err->hresult = 0;
    memcpy(err->text, text, sizeof text);
    return -code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int r = set(err, code, fmt, ap);
    va_end(ap);
    return r;
}

int err_nomem(struct err *err)
{
    return err_set(err, ENOMEM, "out of memory");
}

int err_errno(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;
    char cause[128];

    va_start(ap, fmt);
    int r = set(err, code, fmt, ap);
    va_end(ap);
    if (err) {
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof err->text - n, ": %s", strerror_r(-r, cause, sizeof cause));
        sanitise(err->text, sizeof err->text);
    }
    return r;
}

int err_vss(struct err *err, uint32_t hresult, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int r = set(err, code, fmt, ap);
    va_end(ap);
    if (err)
        err->hresult = hresult;
    return r;
}

/* "VM x: VM x: ..." tells nobody more, nor does "VM x: VM x, disk vda: ...". */
static bool begins_with(const char *text, const char *context, size_t n)
{
    return n > 0 && n < KVSS_ERR_TEXT_MAX - 2 && strncmp(text, context, n) == 0 && (text[n] == ':' || text[n] == ',') && text[n + 1] == ' ';
}

static bool ends_word(char c)
{
    return c == '\0' || strchr(" :,;.)", c) != NULL;
}

/* Whether the text before `at` ends in "cannot VERB", as of "cannot start VM x". */
static bool after_verb(const char *text, const char *at)
{
    const char *verb = at;

    while (verb > text && verb[-1] != ' ')
        verb--;
    return verb - text >= 7 && verb < at && strncmp(verb - 7, "cannot ", 7) == 0 && (verb - text == 7 || verb[-8] == ' ');
}

/* Takes " of VM x", " in VM x" and ": VM x" before a colon out of the text, and makes it of "cannot start VM x": the object is named once,
 * by the context before it. */
static void drop_object(char *text, const char *object, size_t n)
{
    for (char *at = strpbrk(text, " :"); at; at = strpbrk(at, " :")) {
        size_t link = strncmp(at, " of ", 4) == 0 || strncmp(at, " in ", 4) == 0 ? 4 : strncmp(at, ": ", 2) == 0 ? 2 : 0;
        if (link && strncmp(at + link, object, n) == 0 && (link == 4 ? ends_word(at[4 + n]) : at[2 + n] == ':')) {
            memmove(at, at + link + n, strlen(at + link + n) + 1);
        } else if (n >= 2 && *at == ' ' && strncmp(at + 1, object, n) == 0 && ends_word(at[1 + n]) && after_verb(text, at)) {
            memcpy(at + 1, "it", 2);
            memmove(at + 3, at + 1 + n, strlen(at + 1 + n) + 1);
            at += 3;
        } else {
            at++;
        }
    }
}

/* Each of "VM x, disk vda" that is a kind and a name. */
static void name_once(char *text, const char *context)
{
    for (const char *object = context; *object; object += strspn(object, ", ")) {
        size_t n = strcspn(object, ",");
        if (memchr(object, ' ', n) && !memchr(object, ':', n))
            drop_object(text, object, n);
        object += n;
    }
}

int err_context(struct err *err, const char *fmt, ...)
{
    char text[KVSS_ERR_TEXT_MAX];
    va_list ap;

    if (!err)
        return -EIO;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if (begins_with(err->text, text, (size_t)n))
        return -(err->code ? err->code : EIO);
    name_once(err->text, text);
    if ((size_t)n < sizeof text && err->text[0])
        snprintf(text + n, sizeof text - (size_t)n, ": %s", err->text);
    sanitise(text, sizeof text);
    memcpy(err->text, text, sizeof text);
    if (err->code == 0)
        err->code = EIO;
    return -err->code;
}

int err_move(struct err *dst, const struct err *src)
{
    if (dst && src && dst != src)
        *dst = *src;
    return src ? -src->code : 0;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    err->code = 0;
    err->hresult = 0;
    err->text[0] = '\0';
}
