/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/key.h"
#include "base/clock.h"
#include "base/io.h"
#include "store/object/lines.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TITLE "kvss key 1"

void key_secret_wipe(struct key_secret *s)
{
    crypt_secret_free(s->p, s->n);
    *s = (struct key_secret){ 0 };
}

int key_secret_get(const struct store_key *key, struct key_secret *ret, struct err *err)
{
    struct buf b = BUF_INIT;

    if (key->passphrase && key->key_file)
        return err_set(err, EINVAL, "both a passphrase and a key file were given; use one of them");
    if (!key->passphrase && !key->key_file)
        return err_set(err, EACCES, "the repository is encrypted; give its passphrase or key file");
    if (key->passphrase) {
        size_t n = strlen(key->passphrase);
        if (n == 0)
            return err_set(err, EINVAL, "the passphrase is empty");
        uint8_t *copy = crypt_secret_new(n, NULL);
        if (!copy)
            return err_nomem(err);
        memcpy(copy, key->passphrase, n);
        *ret = (struct key_secret){ false, copy, n };
        return 0;
    }
    int r = io_read_file(key->key_file, KEY_FILE_MAX, &b, err);
    if (r < 0)
        return r;
    if (b.len < 16) {
        err_set(err, EINVAL, "the key file %s is too short (%zu bytes): create one with 32 random bytes", key->key_file, b.len);
        buf_free(&b);
        return -EINVAL;
    }
    uint8_t *copy = crypt_secret_new(b.len, NULL);
    if (copy) {
        memcpy(copy, b.data, b.len);
        *ret = (struct key_secret){ true, copy, b.len };
    }
    crypt_wipe(b.data, b.cap);
    buf_free(&b);
    return copy ? 0 : err_nomem(err);
}

uint64_t key_memory(const struct crypt_kdf *kdf)
{
    return 128ULL * kdf->r << kdf->log_n;
}

void key_text_free(struct key_text *k)
{
    free(k->aad);
    k->aad = NULL;
}

static bool get_small(const struct lines *l, const char *name, unsigned min, unsigned max, unsigned *ret)
{
    uint64_t v;

    if (lines_get_u64(l, name, min, max, &v) < 0)
        return false;
    *ret = (unsigned)v;
    return true;
}

static bool key_parse_lines(const struct lines *l, struct key_text *k)
{
    const char *kind = lines_get(l, "kind"), *kdf = lines_get(l, "kdf"), *salt = lines_get(l, "salt");
    const char *wrapped = lines_get(l, "wrapped"), *created = lines_get(l, "created"), *label = lines_get(l, "label");

    if (!kind || !kdf || !salt || !wrapped || !created || !label || strcmp(kdf, "scrypt") != 0)
        return false;
    k->file = strcmp(kind, "file") == 0;
    snprintf(k->created, sizeof k->created, "%s", created);
    snprintf(k->label, sizeof k->label, "%s", label);
    return (k->file || strcmp(kind, "passphrase") == 0) && get_small(l, "log_n", KEY_LOG_N_MIN, KEY_LOG_N_MAX, &k->kdf.log_n) &&
           get_small(l, "r", 1, 16, &k->kdf.r) && get_small(l, "p", 1, 4, &k->kdf.p) &&
           crypt_unhex(salt, k->kdf.salt, sizeof k->kdf.salt) && crypt_unhex(wrapped, k->wrapped, sizeof k->wrapped) && l->count > 0 &&
           strcmp(l->names[l->count - 1], "wrapped") == 0;
}

int key_parse(const void *p, size_t n, struct key_text *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = { 0 };
    struct key_text k = { 0 };
    size_t last = strlen("wrapped=") + 2 * CRYPT_WRAPPED_LEN + 1;
    int r = n > KEY_BYTES_MAX ? -EBADMSG : lines_parse(p, n, TITLE, "the key", &l, err);

    if (r < 0 || !key_parse_lines(&l, &k) || n < last)
        return r == -ENOMEM ? r : err_set(err, EBADMSG, "the key is damaged");
    k.aad = strndup(p, n - last);
    if (!k.aad)
        return err_nomem(err);
    *ret = k;
    return 0;
}

static int make_text(const struct key_secret *s, const struct crypt_kdf *kdf, struct buf *b)
{
    char when[32], hex[2 * CRYPT_SALT_LEN + 1], host[65] = "";
    int r = buf_adds(b, TITLE "\n");

    (void)gethostname(host, sizeof host - 1);
    if (r == 0)
        r = lines_add(b, "kind", s->file ? "file" : "passphrase");
    if (r == 0)
        r = lines_add(b, "created", clock_format(clock_wall_us(), when));
    if (r == 0)
        r = lines_addf(b, "label", "uid %u on %s", (unsigned)getuid(), host);
    if (r == 0)
        r = lines_add(b, "kdf", "scrypt");
    if (r == 0)
        r = lines_addf(b, "log_n", "%u", kdf->log_n);
    if (r == 0)
        r = lines_addf(b, "r", "%u", kdf->r);
    if (r == 0)
        r = lines_addf(b, "p", "%u", kdf->p);
    return r < 0 ? r : lines_add(b, "salt", crypt_hex(kdf->salt, sizeof kdf->salt, hex));
}

int key_put(struct backend *b, const struct key_secret *s, unsigned log_n, const uint8_t *master, struct object_name *ret_name,
            struct err *err)
{
    struct crypt_kdf kdf = { .log_n = log_n ? log_n : KEY_LOG_N_DEFAULT, .r = 8, .p = 1 };
    _cleanup_buf_ struct buf text = BUF_INIT;
    uint8_t wrapped[CRYPT_WRAPPED_LEN];
    char path[OBJECT_PATH_SIZE], hex[2 * CRYPT_WRAPPED_LEN + 1];
    struct object_name name;

    /* Nobody would try one that takes more memory. */
    if (kdf.log_n < KEY_LOG_N_MIN || kdf.log_n > KEY_LOG_N_MAX || key_memory(&kdf) > KEY_MEMORY_DEFAULT)
        return err_set(err, EINVAL, "the work factor of scrypt must be between %d and %d", KEY_LOG_N_MIN, KEY_LOG_N_DEFAULT + 1);
    int r = crypt_random(kdf.salt, sizeof kdf.salt);
    if (r == 0)
        r = crypt_random(&name, sizeof name);
    if (r == 0)
        r = make_text(s, &kdf, &text);
    if (r == 0)
        r = crypt_wrap(s->p, s->n, &kdf, (const char *)text.data, master, wrapped);
    if (r == 0)
        r = lines_add(&text, "wrapped", crypt_hex(wrapped, sizeof wrapped, hex));
    if (r < 0)
        return err_errno(err, -r, "cannot create a key");
    r = backend_put(b, object_name_path("keys", &name, path), text.data, text.len, BACKEND_REPLACE, err);
    if (r == 0 && ret_name)
        *ret_name = name;
    return r;
}
