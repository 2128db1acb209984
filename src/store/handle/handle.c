/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making, opening and closing a repository. */
#include "store/store.h"
#include "base/clock.h"
#include "store/handle/handle.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

#define LEVEL_DEFAULT 1

static int random_master(uint8_t master[static CRYPT_KEY_LEN], struct err *err)
{
    int r = crypt_random(master, CRYPT_KEY_LEN);

    return r < 0 ? err_errno(err, -r, "cannot create a master key") : 0;
}

/* The key objects of a new repository. */
static int create_key(struct backend *b, const struct store_init *init, uint8_t master[static CRYPT_KEY_LEN], struct object_name *ret_name,
                      struct err *err)
{
    _cleanup_secret_ struct key_secret secret = { 0 };
    int r = key_secret_get(&init->key, &secret, err);

    if (r == -EACCES)
        return err_set(err, EINVAL, "an encrypted repository needs a passphrase or a key file");
    if (r == 0)
        r = random_master(master, err);
    return r < 0 ? r : key_put(b, &secret, init->scrypt_log_n, master, ret_name, err);
}

int store_create_backend(struct backend *b, const struct store_init *init, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    uint8_t master[CRYPT_KEY_LEN];
    struct crypt *crypt = NULL;
    struct config config = {
        .version = init->version ? init->version : CONFIG_VERSION, .guid = guid_new(), .encrypted = !init->no_encryption, .generation = 1
    };
    struct object_name key;

    if (config.version < CONFIG_VERSION_OLDEST || config.version > CONFIG_VERSION)
        return err_set(err, EINVAL, "this kvss creates repositories of format versions %d to %d, not %d", CONFIG_VERSION_OLDEST,
                       CONFIG_VERSION, config.version);
    clock_format(clock_wall_us(), config.created);
    int r = init->no_encryption ? 0 : create_key(b, init, master, &key, err);
    if (r == 0 && !init->no_encryption)
        r = config_add_key(&config, &key);

    if (r == 0)
        r = crypt_new(init->no_encryption ? NULL : master, &crypt, err);
    crypt_wipe(master, sizeof master);
    if (r == 0)
        r = config_make(crypt, &config, &text, err);
    /* Last, and exclusive: a folder without config is no repository, and two that create at once do not both think they did. */
    if (r == 0)
        r = backend_put(b, "config", text.data, text.len, BACKEND_EXCLUSIVE, err);
    crypt_free(crypt);
    return r;
}

int store_create(const char *location, const struct store_init *init, struct err *err)
{
    struct backend *b;
    int r = backend_supported(location, err);

    if (r == 0)
        r = backend_dir_create(location, init->make_parents, err);
    if (r == 0)
        r = backend_dir_open(location, &b, err);
    if (r < 0)
        return r;
    r = store_create_backend(b, init, err);
    backend_close(b);
    return r < 0 ? (err_context(err, "cannot create a repository in %s", location), r) : 0;
}

/* ---- opening --------------------------------------------------------------------------------------------------------------*/

/* Whether the check value of config was made with this master key. */
static bool master_fits(void *priv, const uint8_t *master)
{
    const struct buf *text = priv;
    struct crypt *crypt;

    if (crypt_new(master, &crypt, NULL) < 0)
        return false;
    bool fits = config_check(crypt, text->data, text->len, NULL) == 0;
    crypt_free(crypt);
    return fits;
}

static int open_keys(struct store *s, const struct store_open *o, struct err *err)
{
    const struct config *c = &s->config;
    const struct store_key *key = &o->key;
    const struct key_trial trial = { o->key_memory, o->first_key, s->env.log, c, master_fits, &s->config_text };
    _cleanup_secret_ struct key_secret secret = { 0 };
    uint8_t master[CRYPT_KEY_LEN];
    int r = 0;

    if (!c->encrypted && (key->passphrase || key->key_file))
        return err_set(
            err, EACCES,
            "the repository says that it is not encrypted, but a key was given; if it really is unencrypted, open it without a key");
    if (c->encrypted)
        r = key_secret_get(key, &secret, err);
    if (r == 0 && c->encrypted)
        r = key_open(s->env.backend, &secret, &trial, master, &s->key_name, err);
    if (r == 0 && c->encrypted)
        crypt_hex(s->key_name.b, sizeof s->key_name.b, s->key_id);
    if (r == 0)
        r = crypt_new(c->encrypted ? master : NULL, &s->env.crypt, err);
    crypt_wipe(master, sizeof master);
    if (r == 0 && c->encrypted && !crypt_is_locked(s->env.crypt))
        log_warning(s->env.log,
                    "the keys of the repository may be written to swap space because this user may not lock memory (RLIMIT_MEMLOCK)");
    if (r == 0)
        r = config_check(s->env.crypt, s->config_text.data, s->config_text.len, err);
    return r == 0 && c->encrypted && c->epoch ? ring_load(&s->env, &c->ring, c->epoch, err) : r;
}

static int open_config(struct store *s, const struct store_open *o, struct err *err)
{
    int r = backend_read(s->env.backend, "config", CONFIG_BYTES_MAX, &s->config_text, err);

    if (r == -ENOENT)
        return err_set(err, ENOENT, "there is no repository in %s", s->location);
    if (r == -EFBIG)
        return err_set(err, EUCLEAN, "config is damaged: it is too long");
    if (r == 0)
        r = config_parse(s->config_text.data, s->config_text.len, &s->config, err);
    if (r == -EBADMSG) {
        err->code = EUCLEAN;
        return -EUCLEAN;
    }
    return r < 0 ? r : open_keys(s, o, err);
}

static int open_parts(struct store *s, const struct store_open *o, struct err *err)
{
    int r = zip_new(o->zstd_level ? o->zstd_level : LEVEL_DEFAULT, &s->env.zip, err);

    if (r == 0)
        r = pool_new(o->threads, &s->env.pool, err);
    if (r == 0)
        r = index_new(&s->env, &s->index, err);
    if (r == 0)
        r = packer_new(&s->env, s->index, &s->packer, err);
    if (r == 0)
        r = chunks_new(&s->env, s->index, s->packer, &s->chunks, err);
    if (r == 0)
        r = index_reload(s->index, NULL, err);
    if (r == 0)
        packer_stream_init(&s->meta, s->packer, PACK_META);
    return r;
}

int store_open_backend(struct backend *b, const char *location, const struct store_open *options, struct store **ret, struct err *err)
{
    struct err local = ERR_INIT;
    struct store *s = calloc(1, sizeof *s);

    if (!s) {
        backend_close(b);
        return err_nomem(err);
    }
    s->env.backend = b;
    s->env.log = options->log;
    pthread_mutex_init(&s->lock, NULL);
    s->location = strdup(location);
    int r = s->location ? open_config(s, options, &local) : err_nomem(&local);
    if (r == 0)
        r = open_parts(s, options, &local);
    if (r < 0) {
        err_context(&local, "cannot open the repository %s", location);
        err_move(err, &local);
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

int store_open(const char *location, const struct store_open *options, struct store **ret, struct err *err)
{
    struct backend *b;
    int r = backend_supported(location, err);

    if (r == 0)
        r = backend_dir_open(location, &b, err);
    return r < 0 ? r : store_open_backend(b, location, options, ret, err);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->packer)
        packer_stream_drop(&s->meta);
    packer_free(s->packer);
    chunks_free(s->chunks);
    index_free(s->index);
    session_end(s->session);
    pool_stop(s->env.pool);
    zip_free(s->env.zip);
    ring_free(s->env.ring);
    crypt_free(s->env.crypt);
    backend_close(s->env.backend);
    buf_free(&s->config_text);
    pthread_mutex_destroy(&s->lock);
    free(s->location);
    free(s);
}

const char *store_guid(const struct store *s)
{
    return s->config.guid.text;
}

const char *store_location(const struct store *s)
{
    return s->location;
}

uint64_t store_chunk_size(const struct store *s)
{
    (void)s;
    return CHUNK_SIZE;
}

int store_version(const struct store *s)
{
    return s->config.version;
}

uint64_t store_generation(const struct store *s)
{
    return s->config.generation;
}

/* ---- Sessions -------------------------------------------------------------------------------------------------------------*/

/* The lock stands now, so that what changes config from here on waits for us. Keys may have come and gone since it was read. */
static int read_config_again(struct store *s, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct config now;
    int r = backend_read(s->env.backend, "config", CONFIG_BYTES_MAX, &text, err);

    if (r < 0 || (text.len == s->config_text.len && memcmp(text.data, s->config_text.data, text.len) == 0))
        return r;
    r = config_parse(text.data, text.len, &now, err);
    if (r == 0 &&
        (now.version != s->config.version || now.epoch != s->config.epoch || config_check(s->env.crypt, text.data, text.len, NULL) < 0))
        return err_set(err, ESTALE, "another kvss has just changed the master key or the version of the repository; run the command again");
    if (r < 0)
        return r;
    s->config = now;
    buf_free(&s->config_text);
    s->config_text = text;
    text = (struct buf)BUF_INIT;
    return 0;
}

int store_begin(struct store *s, enum lock_kind kind, const char *purpose, struct lock_session **ret, struct err *err)
{
    int r = session_begin(&s->env, kind, purpose, ret, err);

    if (r == 0)
        r = read_config_again(s, err);
    if (r < 0)
        session_end(TAKE_PTR(*ret));
    return r;
}

int store_hold(struct store *s, struct err *err)
{
    SCOPED_LOCK(&s->lock);
    if (s->writers == 0) {
        int r = store_begin(s, LOCK_SESSION, "backup", &s->session, err);
        /* The index is read after the lock stands: what it tells from now on no prune takes away. What this process knows
         * from an earlier session (none, unless saving it failed) is not protected. */
        index_forget_unsaved(s->index);
        /* Nor may it count on what the storage has lost. */
        if (r == 0)
            r = index_look(s->index, err);
        if (r == 0)
            r = index_reload(s->index, NULL, err);
        if (r < 0) {
            session_end(TAKE_PTR(s->session));
            return r;
        }
        s->merges = index_merges(s->index);
    }
    s->writers++;
    return 0;
}

/* Also of points that were given up: their chunks are good and the next attempt will look for them. */
static void save_leftovers(struct store *s)
{
    struct err err = ERR_INIT;

    if (packer_flush(s->packer, &err) < 0 || index_save(s->index, &err) < 0)
        log_debug(s->env.log, "chunks of an unfinished restore point are not kept: %s", err.text);
}

void store_unhold(struct store *s)
{
    SCOPED_LOCK(&s->lock);
    if (--s->writers > 0)
        return;
    save_leftovers(s);
    session_end(TAKE_PTR(s->session));
}
