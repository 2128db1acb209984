/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries as objects: signed, sealed, named by their hash. And the keys that sign them. */
#include "store/catalogue/catalogue.h"
#include <errno.h>
#include <string.h>

#define FOLDER "catalogue"
#define OBJECT_MAX (CRYPT_HEADER_LEN + CATALOGUE_BYTES_MAX + CRYPT_TAG_LEN)

/* ---- Keys -------------------------------------------------------------------------------------------------------------------------*/

struct store_host_key {
    uint8_t secret[CRYPT_SECRET_LEN], key[CRYPT_PUBLIC_LEN];
    char id[STORE_HOST_KEY_LEN + 1];
};

int store_host_secret(char ret[static STORE_HOST_SECRET_LEN + 1], struct err *err)
{
    uint8_t secret[CRYPT_SECRET_LEN];
    int r = crypt_random(secret, sizeof secret);

    if (r < 0)
        return err_errno(err, -r, "cannot create a key for this host");
    crypt_hex(secret, sizeof secret, ret);
    crypt_wipe(secret, sizeof secret);
    return 0;
}

int store_host_key_new(const char *secret, struct store_host_key **ret, struct err *err)
{
    struct store_host_key *k = crypt_secret_new(sizeof *k, NULL);

    if (!k)
        return err_nomem(err);
    if (!crypt_unhex(secret, k->secret, sizeof k->secret)) {
        store_host_key_free(k);
        return err_set(err, EINVAL, "it is not a host's private key");
    }
    if (crypt_sign_public(k->secret, k->key) < 0) {
        store_host_key_free(k);
        return err_set(err, EIO, "cannot use the key of this host: OpenSSL lacks Ed25519");
    }
    crypt_hex(k->key, sizeof k->key, k->id);
    *ret = k;
    return 0;
}

void store_host_key_free(struct store_host_key *k)
{
    crypt_secret_free(k, sizeof *k);
}

const char *store_host_key_id(const struct store_host_key *k)
{
    return k->id;
}

const uint8_t *host_key_public(const struct store_host_key *k)
{
    return k->key;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------------------------*/

/* The text of the object, in place of it. */
static int unseal(struct store *s, const struct chunk_id *id, struct buf *object)
{
    struct crypt_object key;
    struct chunk_id have;
    int r = crypt_sha256(s->env.crypt, object->data, object->len, &have);

    if (r == 0 && memcmp(&have, id, sizeof have) != 0)
        r = -EBADMSG;
    if (r == 0)
        r = object_header_check(object->data, object->len, CATALOGUE_MAGIC, NULL);
    if (r == 0 && object->len < CRYPT_HEADER_LEN + CRYPT_TAG_LEN)
        r = -EBADMSG;
    if (r == 0)
        r = crypt_object_init(s->env.crypt, object->data, &key);
    if (r < 0)
        return r == -EPROTONOSUPPORT ? -EBADMSG : r;
    uint8_t *body = object->data + CRYPT_HEADER_LEN;
    size_t n = object->len - CRYPT_HEADER_LEN;
    r = crypt_open(s->env.crypt, &key, 0, body, n, body);
    crypt_object_wipe(&key);
    if (r < 0)
        return r;
    object->len = n - CRYPT_TAG_LEN;
    memmove(object->data, body, object->len);
    return 0;
}

int catalogue_get(struct store *s, const struct chunk_id *id, struct catalogue_entry *ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct catalogue_entry e = { 0 };
    char path[OBJECT_PATH_SIZE];
    struct err why = ERR_INIT;
    int r = backend_read(s->env.backend, object_path(FOLDER, id->b, sizeof id->b, path), OBJECT_MAX, &b, &why);

    if (r < 0 && r != -EFBIG && r != -EUCLEAN)
        return err_move(err, &why);
    unsigned epoch = b.len >= CRYPT_HEADER_LEN ? crypt_header_epoch(b.data) : 0;
    r = r < 0 ? -EBADMSG : unseal(s, id, &b);
    if (r == 0)
        r = catalogue_parse(b.data, b.len, store_guid(s), &e);
    if (r < 0)
        return err_errno(err, -r, "cannot read %s", path);
    e.id = *id;
    e.epoch = epoch;
    e.text = b;
    b = (struct buf)BUF_INIT;
    *ret = e;
    return 0;
}

int catalogue_check(struct catalogue_entry *e)
{
    if (!e->checked && crypt_sign_check(e->key, e->text.data, e->covered, e->signature) < 0)
        return -EBADMSG;
    e->checked = true;
    buf_free(&e->text);
    return 0;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------------------------*/

static int object_sign(const struct store_host_key *key, struct buf *text)
{
    uint8_t signature[CRYPT_SIGNATURE_LEN];
    char hex[2 * CRYPT_SIGNATURE_LEN + 1];
    int r = crypt_sign(key->secret, text->data, text->len, signature);

    return r < 0 ? r : lines_add(text, "signature", crypt_hex(signature, sizeof signature, hex));
}

static int object_seal(struct store *s, const struct buf *text, struct buf *object, struct chunk_id *ret_id)
{
    uint8_t header[CRYPT_HEADER_LEN], salt[CRYPT_SALT_LEN];
    struct crypt_object key;
    int r = crypt_random(salt, sizeof salt);

    object_header(CATALOGUE_MAGIC, salt, crypt_epoch(s->env.crypt), header);
    if (r == 0)
        r = buf_reserve(object, sizeof header + text->len + CRYPT_TAG_LEN);
    if (r == 0)
        r = crypt_object_init(s->env.crypt, header, &key);
    if (r < 0)
        return r;
    memcpy(object->data, header, sizeof header);
    r = crypt_seal(s->env.crypt, &key, 0, text->data, text->len, object->data + sizeof header);
    crypt_object_wipe(&key);
    object->len = sizeof header + text->len + CRYPT_TAG_LEN;
    return r < 0 ? r : crypt_sha256(s->env.crypt, object->data, object->len, ret_id);
}

int catalogue_put(struct store *s, const struct store_host_key *key, struct catalogue_entry *e, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT, object = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    int r = catalogue_format(e, store_guid(s), &text);

    if (r == 0)
        r = object_sign(key, &text);
    if (r == 0)
        r = text.len > CATALOGUE_BYTES_MAX ? -EFBIG : object_seal(s, &text, &object, &e->id);
    if (r < 0)
        return err_errno(err, -r, "cannot create a catalogue entry");
    e->checked = true;
    e->epoch = crypt_epoch(s->env.crypt);
    return backend_put(s->env.backend, object_path(FOLDER, e->id.b, sizeof e->id.b, path), object.data, object.len, BACKEND_REPLACE, err);
}

int catalogue_list(struct store *s, struct chunk_id **ret, size_t *ret_n, struct err *err)
{
    return object_ids(&s->env, FOLDER, CATALOGUE_OBJECTS_MAX, ret, ret_n, err);
}

int catalogue_delete(struct store *s, const struct chunk_id *id, struct err *err)
{
    char path[OBJECT_PATH_SIZE];

    return backend_del(s->env.backend, object_path(FOLDER, id->b, sizeof id->b, path), err);
}
