/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ids, sealing and keys: the only part of the store that knows OpenSSL. docs/format.md, "Chunks and ids", "Keys and sealed units".
 * Everything here is thread-safe; contexts are fetched once and reused. */
#ifndef STORE_OBJECT_CRYPT_H
#define STORE_OBJECT_CRYPT_H

#include "base/cleanup.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPT_KEY_LEN 32
#define CRYPT_ID_LEN 32
#define CRYPT_SALT_LEN 16
#define CRYPT_TAG_LEN 16
#define CRYPT_HEADER_LEN 32
#define CRYPT_NONCE_LEN 12
#define CRYPT_EPOCH_MAX 1000u /* rotations of the master key in the life of a repository */
#define CRYPT_WRAPPED_LEN (CRYPT_NONCE_LEN + CRYPT_KEY_LEN + CRYPT_TAG_LEN)

/* Id of a chunk or node, or the name of an object. */
struct chunk_id {
    uint8_t b[CRYPT_ID_LEN];
};

enum crypt_kind { CRYPT_CHUNK, CRYPT_NODE };

struct crypt; /* the keys of one repository */

/* master: CRYPT_KEY_LEN bytes (copied), or NULL for an unencrypted repository. */
int crypt_new(const uint8_t *master, struct crypt **ret, struct err *err);
void crypt_free(struct crypt *c);
bool crypt_encrypted(const struct crypt *c);
/* The master key, for wrapping it once more; NULL if unencrypted. Valid as long as c. */
const uint8_t *crypt_master(const struct crypt *c);
/* Gives a new crypt the master keys that came before its own: `epoch` of them, the oldest first (copied). Ids are made with keys of the
 * oldest for ever, so that what is stored is found again; objects of each epoch are opened with their own, and new ones get the newest. */
int crypt_add_older(struct crypt *c, const uint8_t *masters, unsigned epoch);
/* How many older master keys there are: what new objects carry in their headers. */
unsigned crypt_epoch(const struct crypt *c);
/* The master key of an epoch up to crypt_epoch(). Valid as long as c. */
const uint8_t *crypt_master_of(const struct crypt *c, unsigned epoch);

int crypt_id(struct crypt *c, enum crypt_kind kind, const void *p, size_t n, struct chunk_id *ret);
/* Authenticates the text of `config`. */
int crypt_config_mac(struct crypt *c, const void *p, size_t n, uint8_t ret[static CRYPT_ID_LEN]);
int crypt_sha256(struct crypt *c, const void *p, size_t n, struct chunk_id *ret);

/* The epoch that an object's header tells. */
unsigned crypt_header_epoch(const uint8_t header[static CRYPT_HEADER_LEN]);
/* The key of one object, from the object's header. -EBADMSG: of an epoch that is not known. Wipe with crypt_object_wipe(). */
struct crypt_object {
    uint8_t header[CRYPT_HEADER_LEN];
    uint8_t key[CRYPT_KEY_LEN];
};
int crypt_object_init(struct crypt *c, const uint8_t header[static CRYPT_HEADER_LEN], struct crypt_object *ret);
void crypt_object_wipe(struct crypt_object *o);

/* Seals n bytes into out[0 .. n + CRYPT_TAG_LEN); out may be p. `unit` must be used once per object. */
int crypt_seal(struct crypt *c, const struct crypt_object *o, uint64_t unit, const void *p, size_t n, uint8_t *out);
/* Opens n bytes (tag included) into out[0 .. n - CRYPT_TAG_LEN); out may be p. -EBADMSG: not what was sealed. */
int crypt_open(struct crypt *c, const struct crypt_object *o, uint64_t unit, const void *p, size_t n, uint8_t *out);

struct crypt_kdf {
    unsigned log_n, r, p;
    uint8_t salt[CRYPT_SALT_LEN];
};
/* Wraps the master key with a secret (passphrase, contents of a key file); aad is the text that describes the key. */
int crypt_wrap(const void *secret, size_t n, const struct crypt_kdf *kdf, const char *aad, const uint8_t *master,
               uint8_t ret[static CRYPT_WRAPPED_LEN]);
/* -EBADMSG: wrong secret, or the key object was altered. */
int crypt_unwrap(const void *secret, size_t n, const struct crypt_kdf *kdf, const char *aad,
                 const uint8_t wrapped[static CRYPT_WRAPPED_LEN], uint8_t ret_master[static CRYPT_KEY_LEN]);

/* Whether the keys are in memory that is never swapped out. */
bool crypt_is_locked(const struct crypt *c);

/* Memory for secrets: zeroed, on pages of its own, kept out of core files, and of swap where that is allowed (*ret_locked, may be NULL).
 * NULL: out of memory. */
void *crypt_secret_new(size_t n, bool *ret_locked);
void crypt_secret_free(void *p, size_t n); /* wipes it first; NULL is fine */

int crypt_random(void *p, size_t n);
void crypt_wipe(void *p, size_t n);

/* hex of n bytes to out (2n + 1 bytes); out. And back: false unless s is exactly 2n lower-case hex digits. */
char *crypt_hex(const uint8_t *p, size_t n, char *out);
bool crypt_unhex(const char *s, uint8_t *p, size_t n);

#endif
