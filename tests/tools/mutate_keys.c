/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What version 2 has in config, key objects and the ring of older master keys, changed by its structure and sealed again. */
#include "mutate_repository.h"
#include "base/num.h"
#include "store/object/key.h"
#include "store/object/ring.h"
#include <stdio.h>
#include <string.h>

static int put_config(struct mutation *m, const struct config *c)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = config_make(m->store->env.crypt, c, &text, NULL);

    return r < 0 ? r : backend_put(m->store->env.backend, "config", text.data, text.len, BACKEND_REPLACE, NULL);
}

static void random_keys(struct config *c, size_t n)
{
    for (; n > 0 && c->keys_n < CONFIG_KEYS_MAX; n--)
        (void)crypt_random(&c->keys[c->keys_n++], sizeof c->keys[0]);
}

static void change_config(struct config *c)
{
    static const uint64_t numbers[] = { 0, 1, 2, INT32_MAX, INT64_MAX, UINT64_MAX };

    switch (random() % 10) {
    case 0: c->generation = numbers[(size_t)random() % ARRAY_SIZE(numbers)]; break;
    case 1: c->generation += (uint64_t)(random() % 5) - 2; break;
    case 2: c->epoch = (unsigned)(random() % 2 ? random() % 4 : random() % 1003); break;
    case 3: (void)crypt_random(&c->ring, sizeof c->ring); break;
    case 4: c->version = (int)(random() % 5); break;
    case 5: c->guid = guid_new(); break;
    case 6: c->encrypted = !c->encrypted; break;
    case 7:
        c->keys_n = 0;
        random_keys(c, 1);
        break;
    case 8: random_keys(c, random() % 2 ? 1 : CONFIG_KEYS_MAX); break;
    default:
        if (c->keys_n && c->keys_n < CONFIG_KEYS_MAX) { /* twice */
            c->keys[c->keys_n] = c->keys[0];
            c->keys_n++;
        }
    }
}

int mutate_config(struct mutation *m)
{
    struct config c = m->store->config;

    for (long changes = random() % 3 + 1; changes > 0; changes--)
        change_config(&c);
    puts("config: by its structure, sealed again");
    return put_config(m, &c);
}

/* ---- Keys ------------------------------------------------------------------------------------------------------------------------*/

static void log_n_of(char *text, unsigned log_n)
{
    char *at = strstr(text, "log_n=1");

    if (at)
        at[strlen("log_n=1")] = (char)('0' + log_n % 10);
}

/* One that says it takes much memory: nobody need try it. */
static int make_dear(struct mutation *m, const struct object_name *name)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[OBJECT_PATH_SIZE];

    object_name_path("keys", name, path);
    if (backend_read(m->store->env.backend, path, KEY_BYTES_MAX, &b, NULL) < 0 || buf_add(&b, "", 1) < 0)
        return -1;
    log_n_of((char *)b.data, 9);
    return backend_put(m->store->env.backend, path, b.data, b.len - 1, BACKEND_REPLACE, NULL);
}

int mutate_key(struct mutation *m)
{
    const struct store_key given = { .passphrase = random() % 4 ? m->passphrase : "another one" };
    _cleanup_secret_ struct key_secret secret = { 0 };
    struct config c = m->store->config;
    uint8_t master[CRYPT_KEY_LEN];
    struct object_name name;
    long how = random() % 6;

    memcpy(master, crypt_master(m->store->env.crypt), sizeof master);
    if (how == 0) /* another repository's, or none at all */
        (void)crypt_random(master, sizeof master);
    else if (how == 1 && c.epoch) /* of before the rotation */
        memcpy(master, crypt_master_of(m->store->env.crypt, 0), sizeof master);
    int r = key_secret_get(&given, &secret, NULL);
    for (long n = how == 2 ? 1100 : 1; r == 0 && n > 0; n--) /* more than are looked at */
        r = key_put(m->store->env.backend, &secret, 10, master, &name, NULL);
    if (r == 0 && how == 3)
        r = make_dear(m, &name);
    if (r == 0 && random() % 2)
        r = config_add_key(&c, &name);
    if (r == 0 && how == 4) {
        c.keys_n = 0;
        r = config_add_key(&c, &name);
    }
    puts("keys: a key object, wrapped again");
    return r < 0 ? r : put_config(m, &c);
}

/* ---- The ring ----------------------------------------------------------------------------------------------------------------------*/

/* It is sealed for the newest master key alone. */
int mutate_ring(struct mutation *m)
{
    struct config c = m->store->config;
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct crypt *crypt = NULL;
    struct crypt_object key;
    char path[OBJECT_PATH_SIZE];

    if (!c.epoch ||
        backend_read(m->store->env.backend, object_path("ring", c.ring.b, sizeof c.ring.b, path), (size_t)64 << 20, &b, NULL) < 0 ||
        crypt_new(crypt_master(m->store->env.crypt), &crypt, NULL) < 0)
        return -1;
    int r = crypt_object_init(crypt, b.data, &key);
    if (r == 0)
        r = crypt_open(crypt, &key, 0, b.data + CRYPT_HEADER_LEN, b.len - CRYPT_HEADER_LEN, b.data + CRYPT_HEADER_LEN);
    struct buf plain = BUF_INIT;
    if (r == 0)
        r = buf_add(&plain, b.data + CRYPT_HEADER_LEN, b.len - CRYPT_HEADER_LEN - CRYPT_TAG_LEN);
    for (long changes = random() % 3 + 1; r == 0 && changes > 0; changes--)
        mutation_bytes(&plain, true);
    b.len = CRYPT_HEADER_LEN;
    if (r == 0)
        r = buf_reserve(&b, plain.len + CRYPT_TAG_LEN);
    if (r == 0)
        r = crypt_seal(crypt, &key, 0, plain.data, plain.len, b.data + b.len);
    b.len += plain.len + CRYPT_TAG_LEN;
    if (r == 0)
        r = crypt_sha256(crypt, b.data, b.len, &c.ring);
    if (r == 0)
        r = backend_put(m->store->env.backend, object_path("ring", c.ring.b, sizeof c.ring.b, path), b.data, b.len, BACKEND_REPLACE, NULL);
    if (r == 0 && random() % 4 == 0)
        c.epoch = num_get_le32(plain.data);
    if (r == 0)
        r = put_config(m, &c);
    buf_free(&plain);
    crypt_free(crypt);
    puts("ring: sealed again");
    return r;
}
