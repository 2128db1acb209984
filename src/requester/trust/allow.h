/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a restore may write without a further word: places, each a folder with what is below it, or one file or device. */
#ifndef REQUESTER_TRUST_ALLOW_H
#define REQUESTER_TRUST_ALLOW_H

#include <kvss/error.h>
#include <stdbool.h>

/* The path with every link in it resolved, the last one too, as far as it exists. NULL: out of memory. Caller frees. */
char *allow_real_place(const char *path);
/* Adds a place (absolute; NULL is fine) as it is now, its links resolved. -ENOMEM. */
int allow_add(char ***places, const char *path);
int allow_add_all(char ***places, char *const *paths);
/* Whether what is written at `path` goes to one of the places, all links resolved. What would lead out of a place once a folder is made
 * ("new/../..") is in none. The node of a block device counts where it lies in /dev, too, so that a folder of nodes that are links is a
 * place. -ENOMEM; 1, 0. */
int allow_has(char *const *places, const char *path);

#endif
