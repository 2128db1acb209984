/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object `config`. docs/format.md, "Keys and sealed units" and "Version 2". */
#ifndef STORE_OBJECT_CONFIG_H
#define STORE_OBJECT_CONFIG_H

#include "base/guid.h"
#include "store/object/backend.h"
#include "store/object/crypt.h"
#include "store/object/env.h"

#define CONFIG_VERSION_OLDEST 1
#define CONFIG_VERSION 2 /* what this kvss makes and knows */
#define CONFIG_BYTES_MAX 4096
#define CONFIG_KEYS_MAX 64 /* key objects that count at the same time */

struct config {
    int version;
    struct guid guid;
    bool encrypted;
    char created[32];
    /* From version 2 on; zero before. */
    uint64_t generation;                      /* one more each time it is written */
    unsigned epoch;                           /* how many times the master key was rotated */
    struct chunk_id ring;                     /* of epoch > 0: names the object that holds the older master keys */
    struct object_name keys[CONFIG_KEYS_MAX]; /* of an encrypted repository: no other key object opens it */
    size_t keys_n;
};

/* -EBADMSG, -EPROTONOSUPPORT. Whether the mac is right is seen by config_check(), once the key is known. */
int config_parse(const void *p, size_t n, struct config *ret, struct err *err);
int config_check(struct crypt *crypt, const void *p, size_t n, struct err *err);
/* Its text, ended by the mac. */
int config_make(struct crypt *crypt, const struct config *config, struct buf *ret, struct err *err);

/* Whether that key object may open the repository; in version 1 any may. */
bool config_has_key(const struct config *config, const struct object_name *name);
/* -E2BIG */
int config_add_key(struct config *config, const struct object_name *name);
void config_drop_key(struct config *config, const struct object_name *name); /* one that is not there is no error */

#endif
