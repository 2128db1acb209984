/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who owns a file and who may read it, as JSON: { "mode", "uid", "gid", "user", "group" }. */
#ifndef REQUESTER_OWNER_H
#define REQUESTER_OWNER_H

#include <jansson.h>
#include <kvss/error.h>
#include <sys/stat.h>

/* Adds the members to o. */
int owner_record(json_t *o, const struct stat *st);
/* Gives the open file owner and mode as recorded. Only root can give files away: for others the owner stays. Names known here go
 * before numbers. Without a record: fallback_uid and fallback_gid, mode 0600. */
int owner_apply(int fd, const json_t *o, uid_t fallback_uid, gid_t fallback_gid, struct err *err);

/* Owner of a symbolic link. */
int owner_apply_link(const char *path, const json_t *o, struct err *err);

#endif
