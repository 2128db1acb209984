/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks. A session lock says "someone is writing": prune then deletes nothing that this session may have come to rely on. The
 * maintenance lock is for one prune or repair at a time. Locks are refreshed; a stale one is broken by whoever meets it.
 * docs/format.md, "Locks". */
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "store/env.h"

struct session;

/* Puts a session lock and keeps it fresh. `purpose` is a word for people. */
int session_begin(struct env *env, const char *purpose, struct session **ret, struct err *err);
/* -ESTALE: the lock is no longer ours (someone found it stale and broke it). s NULL: 0. */
int session_still_ours(struct session *s, struct err *err);
void session_end(struct session *s); /* NULL is fine */

#endif
