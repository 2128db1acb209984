/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of the key objects opens the repository. The storage may have planted some: each is bounded before any work is done, cheap ones go
 * first, and one that is no good is passed over. */
#include "store/object/key.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct candidate {
    struct object_name name;
    uint64_t cost; /* memory times passes over it */
};

struct trying {
    struct backend *backend;
    const struct key_secret *secret;
    const struct key_trial *trial;
    uint64_t memory;
    struct candidate *list;
    size_t n, room;
    size_t seen, bad, dear, foreign, unlisted;
};

/* *ret's text is freed by the caller. */
static int open_read_key(struct trying *t, const struct object_name *name, struct key_text *ret)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    struct err err = ERR_INIT;
    int r = backend_read(t->backend, object_name_path("keys", name, path), KEY_BYTES_MAX, &b, &err);

    if (r == 0)
        r = key_parse(b.data, b.len, ret, &err);
    if (r < 0 && r != -ENOMEM)
        log_warning(t->trial->log, "%s is skipped: %s", path, err.text);
    return r;
}

static bool open_is_first(const struct key_trial *trial, const struct object_name *name)
{
    char hex[2 * OBJECT_NAME_LEN + 1];

    return trial->first && strcmp(crypt_hex(name->b, sizeof name->b, hex), trial->first) == 0;
}

static int open_add(struct trying *t, const struct object_name *name, uint64_t cost)
{
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 16;
        struct candidate *list = reallocarray(t->list, room, sizeof *list);
        if (!list)
            return -ENOMEM;
        t->list = list;
        t->room = room;
    }
    t->list[t->n++] = (struct candidate){ *name, cost };
    return 0;
}

static int open_look(void *priv, const char *text)
{
    struct trying *t = priv;
    struct object_name name;
    struct key_text k = { 0 };
    char path[OBJECT_PATH_SIZE];

    if (!crypt_unhex(text, name.b, sizeof name.b))
        return 0;
    if (!config_has_key(t->trial->config, &name)) {
        t->unlisted++;
        return 0;
    }
    bool first = open_is_first(t->trial, &name);
    if (!first && ++t->seen > KEY_LISTED_MAX)
        return 0;
    int r = open_read_key(t, &name, &k);
    if (r < 0) {
        t->bad++;
        return r == -ENOMEM ? r : 0;
    }
    uint64_t memory = key_memory(&k.kdf), cost = memory * k.kdf.p;
    bool fits = memory <= t->memory, kind = k.file == t->secret->file;
    key_text_free(&k);
    if (kind && !fits) {
        log_warning(t->trial->log, "%s is skipped: it needs %llu MiB of memory, but key-memory allows %llu MiB",
                    object_name_path("keys", &name, path), (unsigned long long)(memory >> 20), (unsigned long long)(t->memory >> 20));
        t->dear++;
    }
    return kind && fits ? open_add(t, &name, first ? 0 : cost) : 0;
}

static int open_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    return x->cost != y->cost ? (x->cost > y->cost) - (x->cost < y->cost) : memcmp(&x->name, &y->name, sizeof x->name);
}

/* 1: it opens; 0: it does not. */
static int try_key(struct trying *t, const struct object_name *name, uint8_t master[static CRYPT_KEY_LEN])
{
    struct key_text k = { 0 };
    char path[OBJECT_PATH_SIZE];
    int r = open_read_key(t, name, &k);

    if (r < 0)
        return r == -ENOMEM ? r : 0;
    if (key_memory(&k.kdf) > t->memory || k.file != t->secret->file)
        r = -EBADMSG; /* another one than was listed */
    else
        r = crypt_unwrap(t->secret->p, t->secret->n, &k.kdf, k.aad, k.wrapped, master);
    key_text_free(&k);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    if (!t->trial->fits || t->trial->fits(t->trial->priv, master))
        return 1;
    log_warning(t->trial->log, "%s is rejected: this secret opens it, but its master key is not, or no longer, that of the repository",
                object_name_path("keys", name, path));
    t->foreign++;
    return 0;
}

static int none_opens(const struct trying *t, struct err *err)
{
    const char *kind = t->secret->file ? "key file" : "passphrase";

    if (t->foreign)
        return err_set(
            err, EACCES,
            "the %s opens a key that no longer belongs to the repository: the key was rotated (use the new one), or config was modified",
            kind);
    if (t->n && t->unlisted)
        return err_set(
            err, EACCES,
            "the %s does not match any of its keys (key objects not tried because they were removed from it or never belonged to it: %zu)",
            kind, t->unlisted);
    if (t->n)
        return err_set(err, EACCES, "the %s does not match any of its keys", kind);
    if (t->unlisted)
        return err_set(err, EACCES,
                       "the repository no longer has a key for a %s: those in keys/ were removed from it or never belonged to it", kind);
    if (t->dear)
        return err_set(
            err, EACCES,
            "the repository's key for a %s needs more memory than key-memory allows; if the key is yours, raise key-memory in kvss.conf",
            kind);
    if (t->bad)
        return err_set(err, EACCES, "the repository's key is damaged; restore keys/ from a copy");
    return err_set(err, EACCES, "the repository has no key for a %s", kind);
}

int key_open(struct backend *b, const struct key_secret *s, const struct key_trial *trial, uint8_t ret_master[static CRYPT_KEY_LEN],
             struct object_name *ret_name, struct err *err)
{
    struct trying t = { .backend = b, .secret = s, .trial = trial, .memory = trial->memory ? trial->memory : KEY_MEMORY_DEFAULT };
    uint8_t master[CRYPT_KEY_LEN];
    size_t i = 0;
    int r = backend_list(b, "keys", open_look, &t, err), opened = 0;

    if (r == 0 && t.n)
        qsort(t.list, t.n, sizeof *t.list, open_compare);
    for (; r == 0 && opened == 0 && i < t.n; i++)
        opened = try_key(&t, &t.list[i].name, master);
    if (opened > 0) {
        memcpy(ret_master, master, CRYPT_KEY_LEN);
        if (ret_name)
            *ret_name = t.list[i - 1].name;
    }
    crypt_wipe(master, sizeof master);
    if (r == 0)
        r = opened < 0 ? err_errno(err, -opened, "cannot try the repository's keys") : opened == 0 ? none_opens(&t, err) : 0;
    free(t.list);
    return r;
}
