/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names in the folders of a repository. Whoever owns the storage may have put a link in the place of a folder, to have root write or delete
 * elsewhere: a link is only followed if it is root's or this user's, and what is done is done in the folder that was looked at. All return
 * 0 (or what they say) or -errno; -ELOOP: a link of somebody else is in the way. top: the repository's folder. */
#ifndef STORE_OBJECT_SPOT_H
#define STORE_OBJECT_SPOT_H

#include "base/cleanup.h"
#include <stdbool.h>

struct spot {
    int fd;           /* of the folder, for *at(); it may be O_PATH */
    const char *name; /* the last part of the path that was given */
};
#define SPOT_NONE \
    {             \
        -1, NULL  \
    }

/* "packs" or "packs/ab". A descriptor. */
int spot_enter(int top, const char *folder);
int spot_open(int top, const char *path, struct spot *ret);
void spot_close(struct spot *s); /* SPOT_NONE is fine */
#define _cleanup_spot_ _cleanup_(spot_close)

int spot_remove(int top, const char *path);
bool spot_is_there(int top, const char *path);
int spot_rename(int top, const char *from, const char *to, unsigned flags); /* of renameat2() */
int spot_link(int top, const char *from, const char *to);

#endif
