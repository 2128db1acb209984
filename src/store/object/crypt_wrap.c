/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The master key under a secret: scrypt, then AES-256-GCM. Also randomness and hex. */
#include "store/object/crypt.h"
#include "store/store.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

int crypt_random(void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = getrandom((char *)p + done, n - done, 0);
        if (got < 0 && errno != EINTR)
            return -errno;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/* ---- Memory for secrets ---------------------------------------------------------------------------------------------------------*/

static size_t whole_pages(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (n + page - 1) / page * page;
}

void *crypt_secret_new(size_t n, bool *ret_locked)
{
    void *p = mmap(NULL, whole_pages(n), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, whole_pages(n), MADV_DONTDUMP);
    bool locked = mlock(p, whole_pages(n)) == 0;
    if (ret_locked)
        *ret_locked = locked;
    return p;
}

void crypt_secret_free(void *p, size_t n)
{
    if (!p)
        return;
    crypt_wipe(p, n);
    munmap(p, whole_pages(n)); /* and unlocks it */
}

/* ---- Memory of OpenSSL's ------------------------------------------------------------------------------------------------------*/

#define HUGE_PAGE ((size_t)2 << 20)

static void *wrap_take(size_t n, const char *file, int line)
{
    void *p = NULL;

    (void)file;
    (void)line;
    if (n < 2 * HUGE_PAGE)
        return malloc(n);
    if (posix_memalign(&p, HUGE_PAGE, n) != 0)
        return NULL;
    madvise(p, n / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* as good without, but for the time */
    return p;
}

static void *take_again(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(p, n);
}

static void wrap_give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

void store_use_huge_pages(void)
{
    CRYPTO_set_mem_functions(wrap_take, take_again, wrap_give);
}

/* ---- The key ------------------------------------------------------------------------------------------------------------------*/

static int wrap_derive(const void *secret, size_t n, const struct crypt_kdf *kdf, uint8_t key[static CRYPT_KEY_LEN])
{
    /* scrypt needs 128 r N bytes and a little; the parameters were bounded by the parser (log_n <= 22, r <= 16). */
    uint64_t memory = (128ULL * kdf->r << kdf->log_n) + (1ULL << 20) * (kdf->p + 1);

    return EVP_PBE_scrypt(secret, n, kdf->salt, CRYPT_SALT_LEN, 1ULL << kdf->log_n, kdf->r, kdf->p, memory, key, CRYPT_KEY_LEN) == 1
               ? 0
               : -ENOMEM;
}

int crypt_wrap(const void *secret, size_t n, const struct crypt_kdf *kdf, const char *aad, const uint8_t *master,
               uint8_t ret[static CRYPT_WRAPPED_LEN])
{
    uint8_t key[CRYPT_KEY_LEN], *ct = ret + CRYPT_NONCE_LEN;
    int len, r = crypt_random(ret, CRYPT_NONCE_LEN);

    if (r == 0)
        r = wrap_derive(secret, n, kdf, key);
    if (r < 0)
        return r;
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    bool ok = x && EVP_EncryptInit_ex(x, EVP_aes_256_gcm(), NULL, key, ret) == 1 &&
              EVP_EncryptUpdate(x, NULL, &len, (const uint8_t *)aad, (int)strlen(aad)) == 1 &&
              EVP_EncryptUpdate(x, ct, &len, master, CRYPT_KEY_LEN) == 1 && EVP_EncryptFinal_ex(x, ct + len, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG_LEN, ct + CRYPT_KEY_LEN) == 1;
    EVP_CIPHER_CTX_free(x);
    crypt_wipe(key, sizeof key);
    return ok ? 0 : -EIO;
}

int crypt_unwrap(const void *secret, size_t n, const struct crypt_kdf *kdf, const char *aad,
                 const uint8_t wrapped[static CRYPT_WRAPPED_LEN], uint8_t ret_master[static CRYPT_KEY_LEN])
{
    uint8_t key[CRYPT_KEY_LEN], tag[CRYPT_TAG_LEN], master[CRYPT_KEY_LEN];
    const uint8_t *ct = wrapped + CRYPT_NONCE_LEN;
    int len, r = wrap_derive(secret, n, kdf, key);

    if (r < 0)
        return r;
    memcpy(tag, ct + CRYPT_KEY_LEN, CRYPT_TAG_LEN);
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    bool ok = x && EVP_DecryptInit_ex(x, EVP_aes_256_gcm(), NULL, key, wrapped) == 1 &&
              EVP_DecryptUpdate(x, NULL, &len, (const uint8_t *)aad, (int)strlen(aad)) == 1 &&
              EVP_DecryptUpdate(x, master, &len, ct, CRYPT_KEY_LEN) == 1 &&
              EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG_LEN, tag) == 1 && EVP_DecryptFinal_ex(x, master + len, &len) == 1;
    EVP_CIPHER_CTX_free(x);
    if (ok)
        memcpy(ret_master, master, CRYPT_KEY_LEN);
    crypt_wipe(key, sizeof key);
    crypt_wipe(master, sizeof master);
    return ok ? 0 : -EBADMSG;
}

char *crypt_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = 0;
    return out;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool crypt_unhex(const char *s, uint8_t *p, size_t n)
{
    if (strlen(s) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(s[2 * i]), lo = nibble(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        p[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}
