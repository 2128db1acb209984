/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys of OpenSSL live only as long as a call: it wipes private ones when they are freed, and what stays is in memory for secrets. */
#include "store/object/crypt_sign.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>

int crypt_sign_public(const uint8_t secret[static CRYPT_SECRET_LEN], uint8_t ret[static CRYPT_PUBLIC_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, CRYPT_SECRET_LEN);
    size_t n = CRYPT_PUBLIC_LEN;
    bool ok = key && EVP_PKEY_get_raw_public_key(key, ret, &n) == 1 && n == CRYPT_PUBLIC_LEN;

    EVP_PKEY_free(key);
    return ok ? 0 : -EIO;
}

int crypt_sign(const uint8_t secret[static CRYPT_SECRET_LEN], const void *p, size_t n, uint8_t ret[static CRYPT_SIGNATURE_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, CRYPT_SECRET_LEN);
    EVP_MD_CTX *x = EVP_MD_CTX_new();
    size_t len = CRYPT_SIGNATURE_LEN;
    bool ok = key && x && EVP_DigestSignInit(x, NULL, NULL, NULL, key) == 1 && EVP_DigestSign(x, ret, &len, p, n) == 1 &&
              len == CRYPT_SIGNATURE_LEN;

    EVP_MD_CTX_free(x);
    EVP_PKEY_free(key);
    return ok ? 0 : -EIO;
}

int crypt_sign_check(const uint8_t key[static CRYPT_PUBLIC_LEN], const void *p, size_t n,
                     const uint8_t signature[static CRYPT_SIGNATURE_LEN])
{
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, CRYPT_PUBLIC_LEN);
    EVP_MD_CTX *x = EVP_MD_CTX_new();
    bool ok = k && x && EVP_DigestVerifyInit(x, NULL, NULL, NULL, k) == 1 && EVP_DigestVerify(x, signature, CRYPT_SIGNATURE_LEN, p, n) == 1;

    EVP_MD_CTX_free(x);
    EVP_PKEY_free(k);
    return ok ? 0 : -EBADMSG;
}
