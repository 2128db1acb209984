/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STORE_LOCK_LOCK_H
#define STORE_LOCK_LOCK_H

#include "base/buf.h"
#include "store/lock/lock_session.h"

/* What a lock of this process says. */
void lock_text_own(struct lock_text *ret, enum lock_kind kind, const char *purpose);
int lock_make(struct crypt *crypt, const struct lock_text *t, struct buf *ret);

#endif
