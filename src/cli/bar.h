/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Progress on a stream: bars that are drawn over again on a terminal, plain lines now and then elsewhere. */
#ifndef CLI_BAR_H
#define CLI_BAR_H

#include "base/progress.h"
#include <stdbool.h>
#include <stdio.h>

struct bar;

/* Shows p until bar_stop(), from a thread of its own. NULL: it could not be started; then nothing is shown. */
struct bar *bar_start(struct progress *p, FILE *f, bool terminal);
/* Draws it a last time and frees it. NULL is fine. */
void bar_stop(struct bar *b);
/* Prints a line above the bars. Any thread. b may be NULL. */
void bar_line(struct bar *b, FILE *f, const char *line);

/* One line about one task, at most `width` columns, without newline. */
void bar_format(const struct progress_view *v, char *buf, size_t size, int width);

#endif
