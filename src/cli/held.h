/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors that were logged on the way. What made a command fail is logged where it happens and comes back as the command's own failure:
 * it is printed once, so these lines wait for the end, where those that say nothing else are dropped. */
#ifndef CLI_HELD_H
#define CLI_HELD_H

#include <kvss/error.h>
#include <pthread.h>
#include <stdio.h>

struct held {
    pthread_mutex_t lock;
    char **lines;
};

/* Keeps a line. Any thread. -ENOMEM: it is not kept. */
int held_add(struct held *h, const char *line);
/* Hands the lines out that the failure (code 0: none) does not repeat, and forgets all. */
void held_take(struct held *h, const struct err *failure, void (*fn)(void *priv, const char *line), void *priv);

#endif
