/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who owns a file and who may read it, also as members of a JSON object: "mode", "uid", "gid", "user", "group". */
#ifndef BASE_OWNER_H
#define BASE_OWNER_H

#include "base/cleanup.h"
#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <sys/stat.h>

struct owner {
    bool known;         /* false: nothing was recorded, and all else is 0, but perhaps the mode */
    mode_t mode;        /* permissions and set-id bits */
    uid_t uid;          /* where it was recorded */
    gid_t gid;          /* the same */
    char *user, *group; /* their names there; NULL: none. Owned */
};
void owner_clear(struct owner *o);
#define _cleanup_owner_ _cleanup_(owner_clear)

int owner_of(const struct stat *st, struct owner *ret, struct err *err);
/* Adds the members to o; none where the owner is not known. -ENOMEM. */
int owner_to_json(const struct owner *owner, json_t *o);
/* From what a repository says: numbers that are none, or out of range, and names beyond all lengths are as if they were not there. */
int owner_from_json(const json_t *o, struct owner *ret, struct err *err);

#define OWNER_PLAIN 0777   /* bits of the mode: of images and the like */
#define OWNER_FOLDER 03777 /* the group of what is made in it */
#define OWNER_FILE 01777
#define OWNER_SET_IDS 07777

/* Gives the open file owner and mode as recorded, of which only the bits of `allowed`. Only root can give files away: for others the
 * owner stays. Names known here go before numbers. Not known: fallback_uid and fallback_gid, mode 0600. */
int owner_apply(int fd, const struct owner *o, uid_t fallback_uid, gid_t fallback_gid, mode_t allowed, struct err *err);
bool owner_is_root(const struct owner *o);   /* on this host, too */
mode_t owner_set_ids(const struct owner *o); /* S_ISUID and S_ISGID, as recorded */

/* Owner of a symbolic link that is open itself (O_PATH). */
int owner_apply_link(int fd, const struct owner *o, struct err *err);
/* Who it belonged to, as owner_apply() would have it. false: it is not known. */
bool owner_here(const struct owner *o, uid_t *ret_uid, gid_t *ret_gid);

#endif
