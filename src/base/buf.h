/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Growable bytes. Also the way text is built: contents are always NUL-terminated one past len. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* NULL while nothing was ever added; then data[len] == 0 */
    size_t len;
    size_t cap;
};

#define BUF_INIT \
    {            \
        0        \
    }

void buf_free(struct buf *b); /* releases the contents and leaves an empty buf; NULL is fine */
#define _cleanup_buf_ _cleanup_(buf_free)

void buf_reset(struct buf *b); /* len = 0, memory kept */

/* All return 0 or -ENOMEM (contents as before). */
int buf_reserve(struct buf *b, size_t more);
int buf_add(struct buf *b, const void *p, size_t n);
int buf_adds(struct buf *b, const char *s);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Hands over the contents as a string ("" if empty); b is empty afterwards. NULL: out of memory. Caller frees. */
char *buf_take_str(struct buf *b);

/* asprintf that returns the string or NULL. Caller frees. */
char *str_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
