/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NULL-terminated vectors of owned strings. A NULL vector is an empty one. */
#ifndef BASE_STRV_H
#define BASE_STRV_H

#include "base/cleanup.h"
#include <stdbool.h>
#include <stddef.h>

void strv_free(char **v);
DEFINE_CLEANUP(char **, strv_free)
#define _cleanup_strv_ _cleanup_(strv_free_p)

size_t strv_len(char *const *v);
bool strv_has(char *const *v, const char *s);
int strv_add(char ***v, const char *s); /* copies s; 0 or -ENOMEM */
int strv_addf(char ***v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char **strv_copy(char *const *v);                 /* NULL for empty or out of memory */
char **strv_split(const char *s, char sep);       /* empty pieces dropped */
char *strv_join(char *const *v, const char *sep); /* "" for empty; NULL out of memory */
void strv_sort(char **v);                         /* by strcmp */

#endif
