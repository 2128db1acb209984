/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries of the catalogue, changed by their structure, signed and sealed again: by a host of its own that has the repository's key, or
 * with the key of the host that is tested. */
#include "mutate_repository.h"
#include "base/num.h"
#include "store/catalogue/catalogue.h"
#include <stdio.h>
#include <string.h>

static const char *const hosts[] = { "web02", "a",    "\x1b[31m",
                                     "..",    "%s%n", "0123456789012345678901234567890123456789012345678901234567890123" };

static uint64_t sequence(uint64_t now)
{
    const uint64_t of[] = {
        0, 1, 2, now - 1, now, now + 1, now + 63, now + 64, INT32_MAX, CATALOGUE_SEQ_MAX, CATALOGUE_SEQ_MAX + 1, INT64_MAX, UINT64_MAX
    };

    return of[(size_t)random() % ARRAY_SIZE(of)];
}

static void random_id(uint8_t *id)
{
    (void)crypt_random(id, CRYPT_ID_LEN);
}

/* Of a restore point or entry that is there, or of nothing. */
static void some_id(struct mutation *m, const char *folder, uint8_t *id)
{
    _cleanup_free_ char *path = mutation_pick(m, folder);
    const char *name = path ? strrchr(path, '/') + 1 : "";

    if (random() % 4 == 0 || !crypt_unhex(name, id, CRYPT_ID_LEN))
        random_id(id);
}

static void change_ops(struct mutation *m, struct catalogue_entry *e)
{
    size_t n = random() % 8 ? e->n_ops + 1 : 1 + (size_t)random() % (2 * CATALOGUE_OPS_MAX);
    struct catalogue_op *ops = n > e->n_ops ? reallocarray(e->ops, n, sizeof *ops) : NULL;

    if (!ops) {
        e->n_ops = 0;
        return;
    }
    e->ops = ops;
    for (; e->n_ops < n; e->n_ops++) {
        some_id(m, "points", ops[e->n_ops].point.b);
        ops[e->n_ops].n = random() % 2 ? 1 + (uint32_t)random() % 4 : CATALOGUE_NUMBER_MAX + 1 - (uint32_t)random() % 4;
    }
}

static void change_seen(struct mutation *m, struct catalogue_entry *e)
{
    size_t n = random() % 8 ? e->n_seen + 1 : 1 + (size_t)random() % (2 * CATALOGUE_SEEN_MAX);
    struct catalogue_seen *seen = n > e->n_seen ? reallocarray(e->seen, n, sizeof *seen) : NULL;

    if (!seen) {
        e->n_seen = 0;
        return;
    }
    e->seen = seen;
    for (; e->n_seen < n; e->n_seen++) {
        struct catalogue_seen *x = &seen[e->n_seen];
        if (random() % 2)
            memcpy(x->key, e->key, sizeof x->key);
        else
            random_id(x->key);
        x->seq = sequence(e->seq);
        some_id(m, "catalogue", x->head.b);
    }
}

static void change_entry(struct mutation *m, struct catalogue_entry *e)
{
    switch (random() % 10) {
    case 0: e->seq = sequence(e->seq); break;
    case 1: e->since = sequence(e->seq); break;
    case 2: e->time_us = random() % 2 ? INT64_MAX / 2 : -1; break;
    case 3: e->kind = (enum store_entry_kind)(STORE_ENTRY_COMMIT + random() % 4); break;
    case 4:
        some_id(m, "catalogue", e->prev.b);
        e->has_prev = true;
        break;
    case 5: e->has_prev = false; break;
    case 6: snprintf(e->host, sizeof e->host, "%s", hosts[(size_t)random() % ARRAY_SIZE(hosts)]); break;
    case 7: change_seen(m, e); break;
    default: change_ops(m, e);
    }
}

/* ---- Who signs -------------------------------------------------------------------------------------------------------------------*/

/* As in host_key.c of the requester. */
static bool hosts_secret(const struct mutation *m, char ret[static STORE_HOST_SECRET_LEN + 1])
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (!m->host_key || io_read_file(m->host_key, 4096, &b, NULL) < 0 || buf_add(&b, "", 1) < 0)
        return false;
    const char *at = strstr((const char *)b.data, "private=");
    return at && sscanf(at, "private=%64[0-9a-f]", ret) == 1;
}

static int pick_key(const struct mutation *m, struct store_host_key **ret, uint8_t secret[static CRYPT_SECRET_LEN])
{
    char hex[STORE_HOST_SECRET_LEN + 1];
    int r = 0;

    if (random() % 2 || !hosts_secret(m, hex))
        r = store_host_secret(hex, NULL);
    if (r == 0 && !crypt_unhex(hex, secret, CRYPT_SECRET_LEN))
        r = -1;
    return r == 0 ? store_host_key_new(hex, ret, NULL) : r;
}

/* ---- As text -----------------------------------------------------------------------------------------------------------------------*/

static int seal(struct mutation *m, const struct buf *text)
{
    struct crypt *crypt = m->store->env.crypt;
    uint8_t salt[CRYPT_SALT_LEN], header[CRYPT_HEADER_LEN];
    _cleanup_buf_ struct buf object = BUF_INIT;
    struct crypt_object key;
    struct chunk_id id;
    char path[OBJECT_PATH_SIZE];

    (void)crypt_random(salt, sizeof salt);
    object_header(CATALOGUE_MAGIC, salt, random() % 16 ? crypt_epoch(crypt) : (unsigned)random() % 1002, header);
    if (crypt_object_init(crypt, header, &key) < 0 || buf_add(&object, header, sizeof header) < 0 ||
        buf_reserve(&object, text->len + CRYPT_TAG_LEN) < 0)
        return -1;
    int r = crypt_seal(crypt, &key, 0, text->data, text->len, object.data + object.len);
    object.len += text->len + CRYPT_TAG_LEN;
    if (r == 0)
        r = crypt_sha256(crypt, object.data, object.len, &id);
    return r < 0 ? r
                 : backend_put(m->store->env.backend, object_path("catalogue", id.b, sizeof id.b, path), object.data, object.len,
                               BACKEND_REPLACE, NULL);
}

/* A line of it is another: what catalogue_put() would not write. */
static int put_text(struct mutation *m, const struct catalogue_entry *e, const uint8_t secret[static CRYPT_SECRET_LEN])
{
    _cleanup_buf_ struct buf text = BUF_INIT, out = BUF_INIT;
    char hex[2 * CRYPT_SIGNATURE_LEN + 1];
    uint8_t signature[CRYPT_SIGNATURE_LEN];

    if (catalogue_format(e, store_guid(m->store), &text) < 0 || buf_add(&text, "", 1) < 0)
        return -1;
    mutation_lines((const char *)text.data, &out);
    if (random() % 8 == 0)
        mutation_bytes(&out, true);
    if (crypt_sign(secret, out.data, out.len, signature) < 0 ||
        lines_add(&out, "signature", crypt_hex(signature, sizeof signature, hex)) < 0)
        return -1;
    if (random() % 8 == 0)
        mutation_bytes(&out, true);
    return seal(m, &out);
}

/* ---- All ---------------------------------------------------------------------------------------------------------------------------*/

/* More chains, or entries, than anybody has. */
static int put_many(struct mutation *m, struct catalogue_entry *e)
{
    long n = random() % 2 ? (long)CATALOGUE_HOSTS_MAX + 20 : 1000;
    struct store_host_key *key = NULL;
    uint8_t secret[CRYPT_SECRET_LEN];
    bool one = random() % 2;
    int r = 0;

    for (long i = 0; r == 0 && i < n; i++) {
        if (!key)
            r = pick_key(m, &key, secret);
        if (r == 0) {
            memcpy(e->key, host_key_public(key), sizeof e->key);
            e->seq = one ? e->seq + 1 : e->seq;
            r = catalogue_put(m->store, key, e, NULL);
            e->prev = e->id;
            e->has_prev = one;
        }
        if (!one) {
            store_host_key_free(key);
            key = NULL;
        }
    }
    store_host_key_free(key);
    return r;
}

static int change(struct mutation *m, struct catalogue_entry *e, const char **ret_how)
{
    struct store_host_key *key = NULL;
    uint8_t secret[CRYPT_SECRET_LEN];

    if (random() % 24 == 0) {
        *ret_how = "many of them";
        return put_many(m, e);
    }
    int r = pick_key(m, &key, secret);
    if (r < 0)
        return r;
    if (random() % 8)
        memcpy(e->key, host_key_public(key), sizeof e->key);
    bool as_text = random() % 2;
    *ret_how = as_text ? "a line" : "by its structure";
    for (long changes = as_text ? 0 : random() % 3 + 1; changes > 0; changes--)
        change_entry(m, e);
    r = as_text ? put_text(m, e, secret) : catalogue_put(m->store, key, e, NULL);
    store_host_key_free(key);
    return r;
}

int mutate_catalogue(struct mutation *m)
{
    _cleanup_free_ char *path = mutation_pick(m, "catalogue");
    const char *name = path ? strrchr(path, '/') + 1 : "", *how = "";
    struct catalogue_entry e = { 0 };
    struct chunk_id id;

    if (!crypt_unhex(name, id.b, sizeof id.b) || catalogue_get(m->store, &id, &e, NULL) < 0)
        return -1;
    int r = change(m, &e, &how);
    if (r == 0 && random() % 3 == 0)
        r = catalogue_delete(m->store, &id, NULL);
    free(e.seen);
    free(e.ops);
    buf_free(&e.text);
    printf("catalogue: %s, signed and sealed again\n", how);
    return r;
}
