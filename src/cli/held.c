/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/held.h"
#include "base/cleanup.h"
#include "base/strv.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define CAUSE_MIN 12u /* bytes; a shorter end of a line proves nothing */

int held_add(struct held *h, const char *line)
{
    pthread_mutex_lock(&h->lock);
    int r = strv_add(&h->lines, line);
    pthread_mutex_unlock(&h->lock);
    return r;
}

/* Whether the failure ends, or goes on, with what the line says of the cause: "writer 'x', event Freeze: CAUSE (VSS_E_..., 0x...)". */
static bool repeats(const struct err *failure, const char *line)
{
    _cleanup_free_ char *cause = strdup(line);
    char *code = cause ? strrchr(cause, '(') : NULL;

    if (!cause || !failure->code)
        return false;
    if (strlen(failure->text) >= CAUSE_MIN && strstr(line, failure->text))
        return true;
    if (code && code > cause && code[-1] == ' ' && !strncmp(code, "(VSS_", 5))
        code[-1] = '\0';
    for (const char *at = cause; at && strlen(at) >= CAUSE_MIN; at = strstr(at, ": ") ? strstr(at, ": ") + 2 : NULL)
        if (strstr(failure->text, at))
            return true;
    return false;
}

void held_take(struct held *h, const struct err *failure, void (*fn)(void *priv, const char *line), void *priv)
{
    pthread_mutex_lock(&h->lock);
    char **lines = h->lines;
    h->lines = NULL;
    pthread_mutex_unlock(&h->lock);
    for (char **l = lines; l && *l; l++)
        if (!repeats(failure, *l))
            fn(priv, *l);
    strv_free(lines);
}
