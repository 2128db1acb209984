/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects that protect a restore point from being forgotten. docs/format.md, "Protected restore points". */
#ifndef STORE_KEEP_PROTECT_H
#define STORE_KEEP_PROTECT_H

#include "store/handle/handle.h"

#define PROTECT_BYTES_MAX 4096

struct protect_text {
    struct chunk_id point;
    int64_t since_us, until_us; /* until 0: for good */
    char by[128];
};
/* Its text without the line "mac". -EBADMSG. */
int protect_parse(const void *p, size_t n, struct protect_text *ret, struct err *err);

/* Puts all that can be checked once more, with the check values of another master key. */
int protect_sign_again(struct store *s, struct crypt *crypt, struct err *err);

/* Refuses (-EPERM) where one of these points is protected now. */
int protect_refuse(struct store *s, const char *const *ids, size_t n, struct err *err);
/* Refuses (-EUCLEAN) where a point is protected and not among these: then the storage has lost it, and nothing may be removed. */
int protect_all_there(struct store *s, const struct chunk_id *points, size_t n, struct err *err);

#endif
