/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines of kvss.conf, for any bytes as kvss.conf(5) says. */
#ifndef CLI_CONF_H
#define CLI_CONF_H

#include <kvss/error.h>
#include <stddef.h>

/* What is between the brackets of the last section line ("": none came yet); the name, trimmed (NULL: this is the section line itself);
 * the value, trimmed. All borrowed. < 0 with err set ends the reading. */
typedef int conf_line_fn(void *priv, const char *section, const char *name, const char *value, struct err *err);

/* text[n] needs no end; it is changed. -EINVAL: a line is none; *ret_line: the number of the line that the error is about. */
int conf_parse(char *text, size_t n, conf_line_fn *fn, void *priv, size_t *ret_line, struct err *err);

#endif
