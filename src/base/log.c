/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"
#include <stdio.h>

/* Parts of a line come from guests: one line stays one line, and no terminal is steered by it. */
static void flatten(char *line)
{
    for (; *line; line++) {
        unsigned char c = (unsigned char)*line;
        if (c == '\n' || c == '\t')
            *line = ' ';
        else if (c < 0x20 || c == 0x7f)
            *line = '?';
    }
}

void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
{
    char line[4096];
    va_list ap;

    if (!log || !log->write || level > log->max)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    flatten(line);
    log->write(log->priv, level, line);
}
