/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new master key. What was stored with the older ones stays as it is and stays readable; what is written from now on is sealed with the
 * new one; and of what could be forged with an older one only restore points that are there now are taken. Until config is replaced
 * nothing has happened: all that is written before is passed over by readers. docs/format.md, "Rotation". */
#include "store/index/index.h"
#include "store/handle/handle.h"
#include "store/object/object.h"
#include "store/keep/protect.h"
#include <errno.h>
#include <string.h>

struct rotation {
    struct store *store;
    struct lock_session *session;
    struct config config; /* the new one */
    struct env env;       /* as the store's, with the new keys */
    uint8_t *masters;     /* the older ones, from now on; in memory for secrets */
    unsigned epoch;
};

static int copy_masters(struct rotation *o, struct err *err)
{
    struct crypt *crypt = o->store->env.crypt;

    o->epoch = crypt_epoch(crypt) + 1;
    if (o->epoch > CRYPT_EPOCH_MAX)
        return err_set(err, E2BIG, "the master key was rotated %u times, which is the maximum", CRYPT_EPOCH_MAX);
    o->masters = crypt_secret_new((size_t)o->epoch * CRYPT_KEY_LEN, NULL);
    if (!o->masters)
        return err_nomem(err);
    for (unsigned i = 0; i < o->epoch; i++)
        memcpy(o->masters + (size_t)i * CRYPT_KEY_LEN, crypt_master_of(crypt, i), CRYPT_KEY_LEN);
    return 0;
}

/* The new master key, with the ring that leads to the older ones. */
static int make_keys(struct rotation *o, const struct key_secret *secret, unsigned log_n, struct err *err)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    uint8_t master[CRYPT_KEY_LEN];
    struct object_name name;
    size_t n = 0;
    int r = crypt_random(master, sizeof master);

    r = r < 0 ? err_errno(err, -r, "cannot create a master key") : crypt_new(master, &o->env.crypt, err);
    if (r == 0)
        r = point_list(&o->store->env, &ids, &n, err);
    const struct ring_content ring = { o->masters, o->epoch, ids, n };
    if (r == 0)
        r = ring_put(&o->env, o->env.crypt, &ring, &o->config.ring, err);
    if (r == 0)
        r = key_put(o->env.backend, secret, log_n, master, &name, err);
    crypt_wipe(master, sizeof master);
    if (r < 0)
        return r;
    r = crypt_add_older(o->env.crypt, o->masters, o->epoch);
    o->config.epoch = o->epoch;
    o->config.keys_n = 0;
    return r < 0 ? err_errno(err, -r, "cannot set up the new keys") : config_add_key(&o->config, &name);
}

/* What a rotation that was given up has left (it removes nothing itself, for it cannot always tell that config was not replaced). It would
 * be of the coming epoch, and sealed with a master key that nobody has. */
static int remove_leftover(struct rotation *o, const struct object_name *name, struct err *err)
{
    uint8_t header[CRYPT_HEADER_LEN];
    char path[OBJECT_PATH_SIZE];

    object_name_path("index", name, path);
    if (backend_get(o->env.backend, path, 0, header, sizeof header, NULL) < 0 || crypt_header_epoch(header) < o->epoch)
        return 0;
    return backend_del(o->env.backend, path, err);
}

/* The index once more, since one of an older master key tells nothing that can be counted on. The old one stays until the next prune:
 * somebody may be reading by it. */
static int write_index(struct rotation *o, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *set = NULL;
    struct store *s = o->store;
    size_t bad = 0;
    int r = index_reload(s->index, &bad, err);

    if (r == 0 && bad)
        return err_set(err, EUCLEAN, "the index is damaged: run `kvss repair index` first");
    if (r < 0)
        return r;
    set = index_set_get(s->index);
    const struct index_merge merge = { .env = &o->env, .set = set, .keep_old = true };
    for (size_t i = 0; r == 0 && i < set->present_n; i++)
        r = remove_leftover(o, &set->present[i], err);
    return r < 0 ? r : index_merge(&merge, NULL, err);
}

/* From here on all is done; what cannot be removed is passed over from now on. */
static void remove_old(struct rotation *o, const struct config *old)
{
    struct backend *b = o->env.backend;
    char path[OBJECT_PATH_SIZE];
    struct err err = ERR_INIT;
    int r = protect_sign_again(o->store, o->env.crypt, &err);

    for (size_t i = 0; r == 0 && i < old->keys_n; i++)
        r = backend_del(b, object_name_path("keys", &old->keys[i], path), &err);
    if (r == 0 && old->epoch)
        r = backend_del(b, object_path("ring", old->ring.b, sizeof old->ring.b, path), &err);
    if (r < 0)
        log_warning(o->store->env.log, "the master key was rotated, but some data of the old one could not be removed: %s", err.text);
}

/* The handle goes on with the new keys; and the ring is read once, as everybody does from now on. */
static int rotate_take_over(struct rotation *o, struct err *err)
{
    struct store *s = o->store;
    struct crypt *fresh;
    int r = crypt_new(crypt_master(o->env.crypt), &fresh, err);

    if (r < 0)
        return r;
    ring_free(TAKE_PTR(s->env.ring));
    crypt_free(s->env.crypt);
    s->env.crypt = fresh;
    s->key_name = o->config.keys[0];
    crypt_hex(s->key_name.b, sizeof s->key_name.b, s->key_id);
    r = ring_load(&s->env, &o->config.ring, o->epoch, err);
    return r == 0 ? index_reload(s->index, NULL, err) : r;
}

static int rotate_rotate(struct rotation *o, const struct key_secret *secret, unsigned log_n, struct err *err)
{
    struct config old = o->store->config;

    int r = copy_masters(o, err);
    if (r == 0)
        r = make_keys(o, secret, log_n, err);
    if (r == 0)
        r = write_index(o, err);
    if (r == 0)
        r = store_put_config(o->store, o->env.crypt, &o->config, err);
    if (r < 0)
        return r;
    remove_old(o, &old);
    r = rotate_take_over(o, err);
    if (r < 0)
        err_context(err, "the master key was rotated and only the new key opens the repository, but it cannot be read back");
    return r;
}

int store_key_rotate(struct store *s, const struct store_key *key, unsigned scrypt_log_n, char ret_id[static 33], struct err *err)
{
    struct rotation o = { .store = s, .config = s->config, .env = s->env };
    _cleanup_secret_ struct key_secret secret = { 0 };
    const uint64_t generation = s->config.generation;

    o.env.crypt = NULL;
    if (!crypt_encrypted(s->env.crypt))
        return err_set(err, ENOTSUP, "the repository %s is not encrypted and has no keys", s->location);
    if (s->config.version < 2)
        return err_set(err, ENOTSUP,
                       "the repository %s has format version 1, in which the master key cannot be changed: run "
                       "`kvss upgrade` first",
                       s->location);
    int r = key_secret_get(key, &secret, err);
    if (r == 0)
        r = store_begin(s, LOCK_EXCLUSIVE, "key rotate", &o.session, err);
    /* Whoever asked has said yes to the keys that it knew of. */
    if (r == 0 && s->config.generation != generation)
        r = err_set(err, ESTALE, "another kvss has just changed the keys of the repository; see kvss key list");
    if (r == 0)
        r = rotate_rotate(&o, &secret, scrypt_log_n, err);
    session_end(o.session);
    crypt_free(o.env.crypt);
    crypt_secret_free(o.masters, (size_t)o.epoch * CRYPT_KEY_LEN);
    if (r < 0)
        return err_context(err, "cannot rotate the master key of the repository %s", s->location), r;
    memcpy(ret_id, s->key_id, sizeof s->key_id);
    return 0;
}
