/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines for whoever drives the library. There is no global log: the object is handed down. NULL log: nothing is written. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log {
    /* Called from any thread, one line without newline; must not fail. Secrets never reach it. */
    void (*write)(void *priv, enum log_level level, const char *line);
    void *priv;
    enum log_level max; /* lines above this level are dropped before they are formatted */
};

/* Whether lines of the level are written. */
static inline bool log_wants(const struct log *log, enum log_level level)
{
    return log && level <= log->max;
}

void log_write(const struct log *log, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define log_error(log, ...) log_write(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_write(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_write(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_write(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
