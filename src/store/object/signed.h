/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text objects (config, locks, gc) end in a line "mac=HEX" over all before it; docs/format.md, "Keys and sealed units". The first
 * line names the kind of the text, so one cannot stand in for another. */
#ifndef STORE_OBJECT_SIGNED_H
#define STORE_OBJECT_SIGNED_H

#include "base/buf.h"
#include "store/object/crypt.h"

/* Adds the line. -ENOMEM, or what the crypto failed with. */
int signed_end(struct crypt *crypt, struct buf *text);
/* *ret_len: how many bytes the mac covers; *ret_mac: its 64 digits, in p. -EBADMSG: there is none. */
int signed_split(const void *p, size_t n, size_t *ret_len, const char **ret_mac);
/* The same, and the mac is right: -EBADMSG if not. */
int signed_check(struct crypt *crypt, const void *p, size_t n, size_t *ret_len);

#endif
