/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object `config`. docs/format.md, "Keys and sealed units". */
#ifndef STORE_CONFIG_H
#define STORE_CONFIG_H

#include "base/guid.h"
#include "store/backend.h"
#include "store/crypt.h"

struct config {
    struct guid guid;
    bool encrypted;
};

/* -EBADMSG, -EPROTONOSUPPORT. Whether the mac is right is seen by config_check(), once the key is known. */
int config_parse(const void *p, size_t n, struct config *ret, struct err *err);
int config_check(struct crypt *crypt, const void *p, size_t n, struct err *err);
/* The text for a new repository. */
int config_make(struct crypt *crypt, const struct guid *guid, struct buf *ret, struct err *err);

#endif
