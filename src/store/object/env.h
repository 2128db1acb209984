/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every part of the store works with, and how objects are named and headed. docs/format.md, "Objects". */
#ifndef STORE_OBJECT_ENV_H
#define STORE_OBJECT_ENV_H

#include "base/log.h"
#include "store/object/backend.h"
#include "store/object/crypt.h"
#include "store/object/workers.h"
#include "store/object/zip.h"

struct ring;

struct env {
    struct backend *backend;
    struct crypt *crypt;
    struct zip *zip;
    struct workers *pool;
    const struct log *log;
    struct ring *ring; /* what is known of the epochs before this one (ring.h); NULL: there are none */
};

#define CHUNK_SIZE ((size_t)65536)
#define NODE_FANOUT 128       /* slots of a tree node: a number that config tells */
#define PACK_MAGIC "KVSSPACK" /* of the header of a pack */
#define OBJECT_NAME_LEN CRYPT_SALT_LEN
#define OBJECT_PATH_SIZE 96
#define OBJECT_VERSION 1
#define OBJECT_TAIL_LEN 12

/* Random name of a pack, an index file, a lock ...; in packs and index files also the salt. */
struct object_name {
    uint8_t b[OBJECT_NAME_LEN];
};

/* "FOLDER/hex"; returns out. */
char *object_path(const char *folder, const uint8_t *name, size_t n, char out[static OBJECT_PATH_SIZE]);
static inline char *object_name_path(const char *folder, const struct object_name *name, char out[static OBJECT_PATH_SIZE])
{
    return object_path(folder, name->b, sizeof name->b, out);
}

/* Objects of a folder that are named by their SHA-256, in no order; others are passed over. -E2BIG: more than max. Caller frees. */
int object_ids(struct env *env, const char *folder, size_t max, struct chunk_id **ret, size_t *ret_n, struct err *err);

/* A header with that magic and salt; epoch: of the master key, for new objects crypt_epoch(). */
void object_header(const char magic[static 8], const uint8_t *salt, unsigned epoch, uint8_t ret[static CRYPT_HEADER_LEN]);
/* -EBADMSG not such an object; -EPROTONOSUPPORT written by a newer kvss. salt NULL: any. */
int object_header_check(const uint8_t *p, size_t n, const char magic[static 8], const uint8_t *salt);
/* The last 12 bytes: length of the sealed unit before them. -EBADMSG. size: of the object. */
void object_tail(uint32_t len, uint8_t ret[static OBJECT_TAIL_LEN]);
int object_tail_check(const uint8_t *p, uint64_t size, uint64_t max, uint32_t *ret_len);

#endif
