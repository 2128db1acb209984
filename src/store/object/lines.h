/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text objects of the repository (config, keys, locks, gc): a title line, then "name=value" lines. */
#ifndef STORE_OBJECT_LINES_H
#define STORE_OBJECT_LINES_H

#include "base/buf.h"
#include <kvss/error.h>
#include <stdint.h>

#define LINES_MAX_BYTES ((size_t)1 << 20)

struct lines {
    char *text;   /* owned; cut into strings */
    char **names; /* point into text */
    char **values;
    size_t count;
};

/* Parses n bytes whose first line must be `title`. Printable ASCII and newlines only; every line ends in a newline.
 * -EBADMSG. `what` names the object in errors. */
int lines_parse(const void *p, size_t n, const char *title, const char *what, struct lines *ret, struct err *err);
void lines_free(struct lines *l);
#define _cleanup_lines_ _cleanup_(lines_free)

/* Value of the first line of that name, or NULL. */
const char *lines_get(const struct lines *l, const char *name);
/* -EBADMSG if absent or out of range. */
int lines_get_u64(const struct lines *l, const char *name, uint64_t min, uint64_t max, uint64_t *ret);

/* Appends "name=value\n"; bytes that a line cannot carry become '_'. 0 or -ENOMEM. */
int lines_add(struct buf *b, const char *name, const char *value);
int lines_addf(struct buf *b, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
