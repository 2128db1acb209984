/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ids and sealed units. Contexts are costly to make (OpenSSL 3 fetches by name), so each is made once and kept on a list. */
#include "store/object/crypt.h"
#include "base/num.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

enum { MAC_CHUNK, MAC_NODE, MAC_OBJECT, MAC_CONFIG, MAC_COUNT };

struct crypt_ctx {
    struct crypt_ctx *next;
    EVP_MAC_CTX *mac[MAC_COUNT]; /* NULL in an unencrypted repository */
    EVP_MD_CTX *md;
    EVP_CIPHER_CTX *cipher;
};

/* An older master key, and the key for objects that follows from it. */
struct older {
    uint8_t master[CRYPT_KEY_LEN], object[CRYPT_KEY_LEN];
};

struct crypt {
    bool encrypted, locked;
    unsigned epoch;      /* how many of these: */
    struct older *older; /* the oldest first; in memory for secrets */
    uint8_t master[CRYPT_KEY_LEN];
    uint8_t key[MAC_COUNT][CRYPT_KEY_LEN];
    EVP_MAC *mac;
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
    pthread_mutex_t lock; /* idle */
    struct crypt_ctx *idle;
};

static void crypt_ctx_free(struct crypt_ctx *x)
{
    for (size_t i = 0; i < MAC_COUNT; i++)
        EVP_MAC_CTX_free(x->mac[i]);
    EVP_MD_CTX_free(x->md);
    EVP_CIPHER_CTX_free(x->cipher);
    free(x);
}

static bool mac_start(EVP_MAC_CTX *x, const uint8_t *key)
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0), OSSL_PARAM_END };

    return x && EVP_MAC_init(x, key, CRYPT_KEY_LEN, params) == 1;
}

static struct crypt_ctx *ctx_new(struct crypt *c)
{
    struct crypt_ctx *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->md = EVP_MD_CTX_new();
    x->cipher = EVP_CIPHER_CTX_new();
    bool ok = x->md && x->cipher;
    for (size_t i = 0; ok && c->encrypted && i < MAC_COUNT; i++) {
        x->mac[i] = EVP_MAC_CTX_new(c->mac);
        ok = mac_start(x->mac[i], c->key[i]);
    }
    if (ok)
        return x;
    crypt_ctx_free(x);
    return NULL;
}

static struct crypt_ctx *crypt_ctx_get(struct crypt *c)
{
    pthread_mutex_lock(&c->lock);
    struct crypt_ctx *x = c->idle;
    if (x)
        c->idle = x->next;
    pthread_mutex_unlock(&c->lock);
    return x ? x : ctx_new(c);
}

static void crypt_ctx_put(struct crypt *c, struct crypt_ctx *x)
{
    pthread_mutex_lock(&c->lock);
    x->next = c->idle;
    c->idle = x;
    pthread_mutex_unlock(&c->lock);
}

/* HMAC of n bytes with a key of its own. */
static int mac_once(struct crypt *c, const uint8_t *key, const void *p, size_t n, uint8_t *ret)
{
    EVP_MAC_CTX *x = EVP_MAC_CTX_new(c->mac);
    size_t got;
    bool ok = mac_start(x, key) && EVP_MAC_update(x, p, n) == 1 && EVP_MAC_final(x, ret, &got, CRYPT_KEY_LEN) == 1;

    EVP_MAC_CTX_free(x);
    return ok ? 0 : -EIO;
}

static int crypt_derive(struct crypt *c, const uint8_t *master, unsigned which, uint8_t *ret)
{
    static const char *const names[MAC_COUNT] = { "kvss key chunk", "kvss key node", "kvss key object", "kvss key config" };

    return mac_once(c, master, names[which], strlen(names[which]), ret);
}

static int derive_keys(struct crypt *c)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < MAC_COUNT; i++)
        r = crypt_derive(c, c->master, i, c->key[i]);
    return r;
}

int crypt_new(const uint8_t *master, struct crypt **ret, struct err *err)
{
    bool locked = false;
    struct crypt *c = crypt_secret_new(sizeof *c, &locked);

    if (!c)
        return err_nomem(err);
    c->locked = locked;
    pthread_mutex_init(&c->lock, NULL);
    c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    c->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    c->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    bool ok = c->sha256 && c->mac && c->gcm;
    if (ok && master) {
        c->encrypted = true;
        memcpy(c->master, master, CRYPT_KEY_LEN);
        ok = derive_keys(c) == 0;
    }
    if (!ok) {
        crypt_free(c);
        return err_set(err, EIO, "cannot set up the keys of the repository: OpenSSL lacks SHA-256, HMAC or AES-256-GCM");
    }
    *ret = c;
    return 0;
}

static void drop_idle(struct crypt *c)
{
    while (c->idle) {
        struct crypt_ctx *x = c->idle;
        c->idle = x->next;
        crypt_ctx_free(x);
    }
}

int crypt_add_older(struct crypt *c, const uint8_t *masters, unsigned epoch)
{
    int r = 0;

    if (!c->encrypted || c->older || epoch == 0 || epoch > CRYPT_EPOCH_MAX)
        return -EINVAL;
    c->older = crypt_secret_new(epoch * sizeof *c->older, NULL);
    if (!c->older)
        return -ENOMEM;
    c->epoch = epoch;
    for (unsigned i = 0; r == 0 && i < epoch; i++) {
        memcpy(c->older[i].master, masters + (size_t)i * CRYPT_KEY_LEN, CRYPT_KEY_LEN);
        r = crypt_derive(c, c->older[i].master, MAC_OBJECT, c->older[i].object);
    }
    if (r == 0)
        r = crypt_derive(c, masters, MAC_CHUNK, c->key[MAC_CHUNK]);
    if (r == 0)
        r = crypt_derive(c, masters, MAC_NODE, c->key[MAC_NODE]);
    drop_idle(c); /* made with other keys */
    return r;
}

unsigned crypt_epoch(const struct crypt *c)
{
    return c->epoch;
}

const uint8_t *crypt_master_of(const struct crypt *c, unsigned epoch)
{
    return epoch < c->epoch ? c->older[epoch].master : c->master;
}

void crypt_free(struct crypt *c)
{
    if (!c)
        return;
    drop_idle(c);
    crypt_secret_free(c->older, c->epoch * sizeof *c->older);
    EVP_MD_free(c->sha256);
    EVP_MAC_free(c->mac);
    EVP_CIPHER_free(c->gcm);
    pthread_mutex_destroy(&c->lock);
    crypt_secret_free(c, sizeof *c);
}

bool crypt_is_locked(const struct crypt *c)
{
    return c->locked;
}

bool crypt_encrypted(const struct crypt *c)
{
    return c->encrypted;
}

const uint8_t *crypt_master(const struct crypt *c)
{
    return c->encrypted ? c->master : NULL;
}

/* One digest over up to three pieces: a MAC with key `which`, or plain SHA-256 (which < 0, or unencrypted). */
struct piece {
    const void *p;
    size_t n;
};

static int digest(struct crypt *c, int which, const struct piece *pieces, size_t count, uint8_t *ret)
{
    struct crypt_ctx *x = crypt_ctx_get(c);
    size_t got;

    if (!x)
        return -ENOMEM;
    EVP_MAC_CTX *mac = which >= 0 ? x->mac[which] : NULL;
    bool ok = mac ? EVP_MAC_init(mac, NULL, 0, NULL) == 1 : EVP_DigestInit_ex2(x->md, c->sha256, NULL) == 1;
    for (size_t i = 0; ok && i < count; i++)
        ok = mac ? EVP_MAC_update(mac, pieces[i].p, pieces[i].n) == 1 : EVP_DigestUpdate(x->md, pieces[i].p, pieces[i].n) == 1;
    if (ok)
        ok = mac ? EVP_MAC_final(mac, ret, &got, CRYPT_ID_LEN) == 1 : EVP_DigestFinal_ex(x->md, ret, NULL) == 1;
    crypt_ctx_put(c, x);
    return ok ? 0 : -EIO;
}

int crypt_id(struct crypt *c, enum crypt_kind kind, const void *p, size_t n, struct chunk_id *ret)
{
    static const char prefix[64] = "kvss node";
    struct piece pieces[] = { { prefix, sizeof prefix }, { p, n } };
    bool prefixed = kind == CRYPT_NODE && !c->encrypted;

    return digest(c, kind == CRYPT_NODE ? MAC_NODE : MAC_CHUNK, prefixed ? pieces : pieces + 1, prefixed ? 2 : 1, ret->b);
}

int crypt_config_mac(struct crypt *c, const void *p, size_t n, uint8_t ret[static CRYPT_ID_LEN])
{
    return digest(c, MAC_CONFIG, &(struct piece){ p, n }, 1, ret);
}

int crypt_sha256(struct crypt *c, const void *p, size_t n, struct chunk_id *ret)
{
    return digest(c, -1, &(struct piece){ p, n }, 1, ret->b);
}

unsigned crypt_header_epoch(const uint8_t header[static CRYPT_HEADER_LEN])
{
    return num_get_le16(header + 10);
}

int crypt_object_init(struct crypt *c, const uint8_t header[static CRYPT_HEADER_LEN], struct crypt_object *ret)
{
    unsigned epoch = crypt_header_epoch(header);

    memcpy(ret->header, header, CRYPT_HEADER_LEN);
    if (epoch > c->epoch)
        return -EBADMSG;
    if (epoch < c->epoch)
        return mac_once(c, c->older[epoch].object, header, CRYPT_HEADER_LEN, ret->key);
    return digest(c, MAC_OBJECT, &(struct piece){ header, CRYPT_HEADER_LEN }, 1, ret->key);
}

void crypt_object_wipe(struct crypt_object *o)
{
    crypt_wipe(o, sizeof *o);
}

static void make_nonce(uint64_t unit, uint8_t nonce[static CRYPT_NONCE_LEN])
{
    num_put_le64(nonce, unit);
    memset(nonce + 8, 0, CRYPT_NONCE_LEN - 8);
}

/* The stand-in for a tag in an unencrypted repository. */
static int plain_tag(struct crypt *c, const struct crypt_object *o, const uint8_t *nonce, const struct piece *text, uint8_t *ret)
{
    uint8_t full[CRYPT_ID_LEN];
    struct piece pieces[] = { { o->header, CRYPT_HEADER_LEN }, { nonce, CRYPT_NONCE_LEN }, *text };
    int r = digest(c, -1, pieces, ARRAY_SIZE(pieces), full);

    if (r == 0)
        memcpy(ret, full, CRYPT_TAG_LEN);
    return r;
}

int crypt_seal(struct crypt *c, const struct crypt_object *o, uint64_t unit, const void *p, size_t n, uint8_t *out)
{
    uint8_t nonce[CRYPT_NONCE_LEN];
    int len, len2;

    make_nonce(unit, nonce);
    if (n > INT32_MAX - CRYPT_TAG_LEN)
        return -EFBIG;
    if (!c->encrypted) {
        memmove(out, p, n);
        return plain_tag(c, o, nonce, &(struct piece){ out, n }, out + n);
    }
    struct crypt_ctx *x = crypt_ctx_get(c);
    if (!x)
        return -ENOMEM;
    bool ok = EVP_EncryptInit_ex2(x->cipher, c->gcm, o->key, nonce, NULL) == 1 &&
              EVP_EncryptUpdate(x->cipher, NULL, &len, o->header, CRYPT_HEADER_LEN) == 1 &&
              EVP_EncryptUpdate(x->cipher, out, &len, p, (int)n) == 1 && EVP_EncryptFinal_ex(x->cipher, out + len, &len2) == 1 &&
              (size_t)len + (size_t)len2 == n && EVP_CIPHER_CTX_ctrl(x->cipher, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG_LEN, out + n) == 1;
    crypt_ctx_put(c, x);
    return ok ? 0 : -EIO;
}

int crypt_open(struct crypt *c, const struct crypt_object *o, uint64_t unit, const void *p, size_t n, uint8_t *out)
{
    uint8_t nonce[CRYPT_NONCE_LEN], tag[CRYPT_TAG_LEN], want[CRYPT_TAG_LEN];
    int len, len2;

    make_nonce(unit, nonce);
    if (n < CRYPT_TAG_LEN || n > INT32_MAX)
        return -EBADMSG;
    n -= CRYPT_TAG_LEN;
    memcpy(tag, (const uint8_t *)p + n, CRYPT_TAG_LEN);
    if (!c->encrypted) {
        int r = plain_tag(c, o, nonce, &(struct piece){ p, n }, want);
        if (r < 0)
            return r;
        if (memcmp(want, tag, CRYPT_TAG_LEN) != 0)
            return -EBADMSG;
        memmove(out, p, n);
        return 0;
    }
    struct crypt_ctx *x = crypt_ctx_get(c);
    if (!x)
        return -ENOMEM;
    bool ok = EVP_DecryptInit_ex2(x->cipher, c->gcm, o->key, nonce, NULL) == 1 &&
              EVP_DecryptUpdate(x->cipher, NULL, &len, o->header, CRYPT_HEADER_LEN) == 1 &&
              EVP_DecryptUpdate(x->cipher, out, &len, p, (int)n) == 1 &&
              EVP_CIPHER_CTX_ctrl(x->cipher, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG_LEN, tag) == 1 &&
              EVP_DecryptFinal_ex(x->cipher, out + len, &len2) == 1 && (size_t)len + (size_t)len2 == n;
    crypt_ctx_put(c, x);
    return ok ? 0 : -EBADMSG;
}

void crypt_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}
