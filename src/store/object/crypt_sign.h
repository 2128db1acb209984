/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of hosts: Ed25519. docs/format.md, "Catalogue". */
#ifndef STORE_OBJECT_CRYPT_SIGN_H
#define STORE_OBJECT_CRYPT_SIGN_H

#include <stddef.h>
#include <stdint.h>

#define CRYPT_SECRET_LEN 32 /* what a private key is made of */
#define CRYPT_PUBLIC_LEN 32
#define CRYPT_SIGNATURE_LEN 64

/* The public key that belongs to the private one. 0 or -EIO. */
int crypt_sign_public(const uint8_t secret[static CRYPT_SECRET_LEN], uint8_t ret[static CRYPT_PUBLIC_LEN]);
/* 0, -ENOMEM or -EIO. */
int crypt_sign(const uint8_t secret[static CRYPT_SECRET_LEN], const void *p, size_t n, uint8_t ret[static CRYPT_SIGNATURE_LEN]);
/* -EBADMSG: the owner of the key has not signed these bytes. Thread-safe. */
int crypt_sign_check(const uint8_t key[static CRYPT_PUBLIC_LEN], const void *p, size_t n,
                     const uint8_t signature[static CRYPT_SIGNATURE_LEN]);

#endif
