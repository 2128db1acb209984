/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key objects: the master key wrapped by a passphrase or a key file. docs/format.md, "Keys and sealed units". */
#ifndef STORE_OBJECT_KEY_H
#define STORE_OBJECT_KEY_H

#include "base/buf.h"
#include "store/object/config.h"
#include "store/store.h"

#define KEY_BYTES_MAX 4096
#define KEY_COUNT_MAX CONFIG_KEYS_MAX
#define KEY_FILE_MAX ((size_t)64 << 10)
#define KEY_LOG_N_DEFAULT 16
#define KEY_LOG_N_MIN 10
#define KEY_LOG_N_MAX 22
#define KEY_MEMORY_DEFAULT ((uint64_t)128 << 20) /* what scrypt may take for one */
#define KEY_LISTED_MAX 1024                      /* objects in keys/ that are looked at */

/* What opens a key object. Wipe with key_secret_wipe(). */
struct key_secret {
    bool file;
    uint8_t *p;
    size_t n;
};
/* -EACCES nothing given; -EINVAL both given, or unfit; file errors. */
int key_secret_get(const struct store_key *key, struct key_secret *ret, struct err *err);
void key_secret_wipe(struct key_secret *s);
#define _cleanup_secret_ _cleanup_(key_secret_wipe)

/* A key object as text. */
struct key_text {
    bool file;
    struct crypt_kdf kdf;
    char *aad; /* all text before the line "wrapped" */
    uint8_t wrapped[CRYPT_WRAPPED_LEN];
    char created[32], label[128];
};
int key_parse(const void *p, size_t n, struct key_text *ret, struct err *err); /* -EBADMSG */
void key_text_free(struct key_text *k);
uint64_t key_memory(const struct crypt_kdf *kdf); /* bytes that scrypt takes */

/* Wraps master for the secret and puts the key object; log_n 0: default. */
int key_put(struct backend *b, const struct key_secret *s, unsigned log_n, const uint8_t *master, struct object_name *ret_name,
            struct err *err);
/* Which key objects are tried, and in which order: what is planted among them must cost nothing. */
struct key_trial {
    uint64_t memory;   /* one that takes more is passed over; 0: KEY_MEMORY_DEFAULT */
    const char *first; /* id of the one that opened the repository here the last time, which is tried first; NULL or "": not known */
    const struct log *log;
    const struct config *config; /* which key objects count */
    /* Whether this master key is the repository's; a key object that holds another one is passed over. */
    bool (*fits)(void *priv, const uint8_t *master);
    void *priv;
};
/* Tries key objects of the secret's kind, the cheap ones first. What cannot be read or is no key object, or one that is too dear, is passed
 * over. -EACCES none opens. ret_name may be NULL. */
int key_open(struct backend *b, const struct key_secret *s, const struct key_trial *trial, uint8_t ret_master[static CRYPT_KEY_LEN],
             struct object_name *ret_name, struct err *err);

#endif
