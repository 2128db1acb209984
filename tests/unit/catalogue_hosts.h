/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hosts that sign the catalogue of one repository, for tests: each with a handle and a key of its own. */
#ifndef CATALOGUE_HOSTS_H
#define CATALOGUE_HOSTS_H

#include "store_test.h"
#include "store/catalogue/catalogue.h"
#include <stdio.h>

struct host {
    struct store *s;
    struct store_catalogue *c;
    struct store_host_key *key;
    const char *name;
    struct store_head head; /* as it remembers it */
};

static inline struct store_host_key *new_key(void)
{
    char secret[STORE_HOST_SECRET_LEN + 1];
    struct store_host_key *k;
    struct err err = ERR_INIT;

    assert_ok(store_host_secret(secret, &err));
    assert_ok(store_host_key_new(secret, &k, &err));
    return k;
}

static inline void look_with(struct host *h, const struct store_head *heads, size_t n)
{
    struct err err = ERR_INIT;

    store_catalogue_free(TAKE_PTR(h->c));
    assert_ok(store_catalogue_read(h->s, heads, n, &h->c, &err));
    assert_ok(store_catalogue_judge(h->c, &err));
}

static inline void look(struct host *h)
{
    look_with(h, NULL, 0);
}

static inline void host_begin(struct host *h, const char *path, const char *name)
{
    *h = (struct host){ .s = test_open(path, false), .key = new_key(), .name = name };
    look(h);
}

static inline void host_end(struct host *h)
{
    store_catalogue_free(h->c);
    store_host_key_free(h->key);
    store_close(h->s);
}

/* The id of a point that need not exist. */
static inline char *point(unsigned i, char *id)
{
    snprintf(id, STORE_ID_LEN + 1, "%064x", i + 1);
    return id;
}

static inline int say(struct host *h, enum store_entry_kind kind, int stands, int gone, struct err *err)
{
    char a[STORE_ID_LEN + 1], b[STORE_ID_LEN + 1], *points[] = { stands >= 0 ? point((unsigned)stands, a) : NULL, NULL };
    char *tombstones[] = { gone >= 0 ? point((unsigned)gone, b) : NULL, NULL };
    struct store_catalogue_add add = {
        .key = h->key, .host = h->name, .kind = kind, .points = points, .gone = tombstones, .last = h->head
    };
    struct store_head head;
    int r = store_catalogue_refresh(h->s, h->c, err);

    if (r >= 0)
        r = store_catalogue_add(h->s, h->c, &add, &head, err);
    if (r >= 0)
        h->head = head;
    return r;
}

static inline void commit(struct host *h, int i)
{
    struct err err = ERR_INIT;

    assert_ok(say(h, STORE_ENTRY_COMMIT, i, -1, &err));
}

static inline void forget(struct host *h, int i)
{
    struct err err = ERR_INIT;

    assert_ok(say(h, STORE_ENTRY_FORGET, -1, i, &err));
}

static inline bool stands(const struct host *h, unsigned i)
{
    char id[STORE_ID_LEN + 1];

    return store_point_stands(store_catalogue_find(h->c, point(i, id)));
}

static inline bool is_gone(const struct host *h, unsigned i)
{
    char id[STORE_ID_LEN + 1];

    return store_point_is_gone(store_catalogue_find(h->c, point(i, id)));
}

static inline size_t cuts(const struct host *h)
{
    size_t n;

    (void)store_catalogue_cuts(h->c, &n);
    return n;
}

static inline size_t objects(const struct host *h)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    struct err err = ERR_INIT;
    size_t n;

    assert_ok(catalogue_list(h->s, &ids, &n, &err));
    return n;
}

static inline void drop(struct host *h, const char *id)
{
    struct chunk_id x;
    struct err err = ERR_INIT;

    assert_true(crypt_unhex(id, x.b, sizeof x.b));
    assert_ok(catalogue_delete(h->s, &x, &err));
}

static inline char *begin_two(const char *dir, struct host *a, struct host *b)
{
    char *path = io_path(dir, "repo");

    store_close(test_repo(dir, false));
    host_begin(a, path, "alpha");
    host_begin(b, path, "beta");
    return path;
}

#endif
