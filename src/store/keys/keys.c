/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of an open repository. The master key stays, so no data is touched. From version 2 on config tells which key objects count, so
 * that one that is removed stays so whatever the storage puts back. */
#include "base/strv.h"
#include "store/handle/handle.h"
#include "store/object/object.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int need_encryption(struct store *s, struct err *err)
{
    return crypt_encrypted(s->env.crypt) ? 0 : err_set(err, ENOTSUP, "the repository %s is not encrypted and has no keys", s->location);
}

const char *store_key_used(const struct store *s)
{
    return s->key_id;
}

struct keys_listing {
    struct store *store;
    struct store_key_info *list;
    size_t n;
};

static int add_info(void *priv, const char *name)
{
    struct keys_listing *x = priv;
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct store_key_info info = { 0 };
    struct object_name id;
    struct key_text k = { 0 };
    char path[OBJECT_PATH_SIZE];

    if (!crypt_unhex(name, id.b, sizeof id.b))
        return 0;
    int r = backend_read(x->store->env.backend, object_name_path("keys", &id, path), KEY_BYTES_MAX, &b, NULL);
    if (r == -ENOENT)
        return 0;
    snprintf(info.id, sizeof info.id, "%s", name);
    info.removed = !config_has_key(&x->store->config, &id);
    info.current = memcmp(&id, &x->store->key_name, sizeof id) == 0;
    if (r < 0 || key_parse(b.data, b.len, &k, NULL) < 0) {
        snprintf(info.label, sizeof info.label, "(damaged)");
    } else {
        info.key_file = k.file;
        snprintf(info.created, sizeof info.created, "%s", k.created);
        snprintf(info.label, sizeof info.label, "%s", k.label);
        key_text_free(&k);
    }
    struct store_key_info *list = reallocarray(x->list, x->n + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    x->list = list;
    list[x->n++] = info;
    return 0;
}

int store_key_list(struct store *s, struct store_key_info **ret, size_t *ret_n, struct err *err)
{
    struct keys_listing x = { .store = s };
    int r = need_encryption(s, err);

    if (r == 0)
        r = backend_list(s->env.backend, "keys", add_info, &x, err);
    if (r < 0) {
        free(x.list);
        return r;
    }
    *ret = x.list;
    *ret_n = x.n;
    return 0;
}

/* With a lock: config names the key objects that count, and is replaced. In version 1 it is left alone. */
static int change_config(struct store *s, const char *purpose, int (*change)(struct config *c, const struct object_name *name),
                         const struct object_name *name, struct err *err)
{
    struct lock_session *session = NULL;

    if (s->config.version < 2)
        return 0;
    int r = store_begin(s, LOCK_MAINTENANCE, purpose, &session, err);
    struct config config = s->config;
    if (r == 0 && change(&config, name) < 0)
        r = err_set(err, E2BIG, "the repository already has %d keys; remove one first", CONFIG_KEYS_MAX);
    if (r == 0)
        r = store_put_config(s, s->env.crypt, &config, err);
    session_end(session);
    return r;
}

static int keys_drop(struct config *config, const struct object_name *name)
{
    config_drop_key(config, name);
    return 0;
}

int store_key_add(struct store *s, const struct store_key *key, unsigned scrypt_log_n, char ret_id[static 33], struct err *err)
{
    _cleanup_secret_ struct key_secret secret = { 0 };
    _cleanup_free_ struct store_key_info *list = NULL;
    struct object_name name;
    size_t n, counting = 0;
    int r = store_key_list(s, &list, &n, err);

    for (size_t i = 0; r == 0 && i < n; i++)
        counting += !list[i].removed;
    if (r == 0 && counting >= KEY_COUNT_MAX)
        return err_set(err, E2BIG, "the repository already has %zu keys; remove one first", counting);
    if (r == 0)
        r = key_secret_get(key, &secret, err);
    if (r == -EACCES)
        return err_set(err, EINVAL, "no passphrase or key file given for the new key");
    if (r == 0)
        r = key_put(s->env.backend, &secret, scrypt_log_n, crypt_master(s->env.crypt), &name, err);
    if (r == 0)
        r = change_config(s, "key add", config_add_key, &name, err);
    if (r == 0)
        crypt_hex(name.b, sizeof name.b, ret_id);
    return r;
}

int store_key_remove(struct store *s, const char *id, struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    struct object_name name;
    char path[OBJECT_PATH_SIZE];
    size_t n, usable = 0, found = 0;
    int r = store_key_list(s, &list, &n, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        bool it = strcmp(list[i].id, id) == 0;
        found += it;
        usable += !it && list[i].created[0] && !list[i].removed;
    }
    if (!found || !crypt_unhex(id, name.b, sizeof name.b))
        return err_set(err, ENOENT, "the repository has no key %.40s", id);
    if (!usable)
        return err_set(err, EBUSY, "%s is the only key that opens the repository; add another one first", id);
    r = change_config(s, "key remove", keys_drop, &name, err);
    return r < 0 ? r : backend_del(s->env.backend, object_name_path("keys", &name, path), err);
}
