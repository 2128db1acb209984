/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who owns a file and who may read it, as JSON: { "mode", "uid", "gid", "user", "group" }. */
#ifndef REQUESTER_OWNER_H
#define REQUESTER_OWNER_H

#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <sys/stat.h>

/* Adds the members to o. */
int owner_record(json_t *o, const struct stat *st);
#define OWNER_PLAIN 0777    /* bits of the mode: of images and the like */
#define OWNER_FOLDER 03777  /* the group of what is made in it */
#define OWNER_FILE 01777
#define OWNER_SET_IDS 07777

/* Gives the open file owner and mode as recorded, of which only the bits of `allowed`. Only root can give files away: for others the
 * owner stays. Names known here go before numbers. Without a record: fallback_uid and fallback_gid, mode 0600. */
int owner_apply(int fd, const json_t *o, uid_t fallback_uid, gid_t fallback_gid, mode_t allowed, struct err *err);
bool owner_is_root(const json_t *o);      /* on this host, too */
mode_t owner_set_ids(const json_t *o);    /* S_ISUID and S_ISGID, as recorded */

/* Owner of a symbolic link that is open itself (O_PATH). */
int owner_apply_link(int fd, const json_t *o, struct err *err);
/* Who it belonged to, as owner_apply() would have it. false: there is no record. */
bool owner_recorded(const json_t *o, uid_t *ret_uid, gid_t *ret_gid);

#endif
