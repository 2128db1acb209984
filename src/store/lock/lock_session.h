/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks. A session lock says "someone is writing": prune then deletes nothing that this session may have come to rely on. The
 * maintenance lock is for one prune or repair at a time. Locks are refreshed; a stale one is broken by whoever meets it.
 * docs/format.md, "Locks". */
#ifndef STORE_LOCK_LOCK_SESSION_H
#define STORE_LOCK_LOCK_SESSION_H

#include "store/object/object.h"

#define LOCK_REFRESH_S 60
#define LOCK_STALE_S 900         /* not refreshed for so long: its owner is gone */
#define LOCK_AHEAD_S 600         /* its time is so far in the future: that says nothing */
#define LOCK_LOST_S 600          /* an owner that could not refresh for so long gives up by itself */
#define TIDY_AFTER_S (24 * 3600) /* longer than a prepared restore point waits for writers, each of which may take an hour */
#define LOCK_BYTES_MAX 4096
#define LOCKS_MAX 4096

enum lock_kind {
    LOCK_SESSION,
    LOCK_MAINTENANCE,
    LOCK_EXCLUSIVE, /* nobody else writes while it stands: what objects are sealed with is about to change */
};

struct lock_text {
    enum lock_kind kind;
    char purpose[32], host[65], boot[37], since[32];
    uint64_t pid, start, pidns;
};
/* -EBADMSG */
int lock_parse(const void *p, size_t n, struct lock_text *ret, struct err *err);

/* A lock that is in the repository. */
struct lock {
    struct object_name name;
    struct lock_text text;
    bool readable; /* else text says nothing: it is damaged, and counts as live until it is old */
    bool stale;
};
/* now_us: the time by the backend's clock, by which alone the age of a lock is told; 0: the backend is asked, and where it cannot tell,
 * locks of other hosts count as live. Caller frees. */
int lock_list(struct env *env, int64_t now_us, struct lock **ret, size_t *ret_n, struct err *err);
/* "backup, host web, pid 17, since ..." */
void lock_owner(const struct lock *l, char *ret, size_t n);

struct lock_session;

/* Puts a lock and keeps it fresh; stale ones of others are removed on the way. -EBUSY if another is live that it cannot stand beside
 * (its owner is named). `purpose` is a word for people. */
int session_begin(struct env *env, enum lock_kind kind, const char *purpose, struct lock_session **ret, struct err *err);
/* -ESTALE: the lock is no longer ours (it was found stale and broken). s NULL: 0. */
int session_still_ours(struct lock_session *s, struct err *err);
/* For whoever writes nothing, a lock neither: the locks that are live, by this host's clock, if none of them stands in the way of `kind`;
 * -EBUSY as session_begin(). ret NULL: only whether. Caller frees. */
int session_look(struct env *env, enum lock_kind kind, struct lock **ret, size_t *ret_n, struct err *err);
const struct object_name *session_name(const struct lock_session *s);
/* The other locks that are live now; stale ones are removed. Caller frees. */
int session_others(struct lock_session *s, struct lock **ret, size_t *ret_n, struct err *err);
/* Now by the backend's clock: when it says that our lock was put, and what has passed since. 0: it cannot be told. */
int64_t session_now(struct lock_session *s);
void session_end(struct lock_session *s); /* NULL is fine */

#endif
