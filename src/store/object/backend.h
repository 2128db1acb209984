/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the objects of a repository lie. Names are "config" or "FOLDER/NAME" (docs/format.md, "Objects"); the
 * store uses only lower-case letters, digits and one '/'. All calls are thread-safe. */
#ifndef STORE_OBJECT_BACKEND_H
#define STORE_OBJECT_BACKEND_H

#include "base/buf.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct backend;

struct backend_stat {
    uint64_t size;
    int64_t mtime_us; /* by the clock of whoever keeps the objects; compare only with others of the same backend */
};

enum backend_put { BACKEND_REPLACE, BACKEND_EXCLUSIVE };

/* An object that is whole and durable, but not there yet for readers. */
#define BACKEND_NAME_MAX 160
struct backend_prepared {
    char name[BACKEND_NAME_MAX]; /* of the object that it will be */
    char at[BACKEND_NAME_MAX];   /* where it waits; the backend's own business */
};

struct backend_ops {
    /* Exactly n bytes at off. -ENOENT no such object; -ENODATA it ends before off + n. */
    int (*get)(struct backend *b, const char *name, uint64_t off, void *p, size_t n, struct err *err);
    /* The whole object at once; durable on return; readers see all of it or nothing. -EEXIST only if exclusive. */
    int (*put)(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, enum backend_put how, struct err *err);
    /* A put in two steps, for what must not be seen before others have agreed. prepare: the whole object becomes durable; readers
     * do not see it, nor does list. publish: they do, from one moment to the next, and durable on return. It writes nothing and needs no
     * room. If it fails the object is not there, and still prepared. abandon: does away with what is prepared; what is left of it
     * anyway is in nobody's way, and is tidied up like what a killed put leaves. */
    int (*prepare)(struct backend *b, const char *name, const struct iovec *iov, size_t iovs, struct backend_prepared *ret,
                   struct err *err);
    int (*publish)(struct backend *b, const struct backend_prepared *p, struct err *err);
    void (*abandon)(struct backend *b, const struct backend_prepared *p);
    /* fn(priv, name, ...) for each object of the folder ("packs"), name without the folder; ends early if fn returns < 0.
     * Objects that come or go meanwhile may be missed or told. */
    int (*list)(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err);
    int (*del)(struct backend *b, const char *name, struct err *err);                            /* absent is no error */
    int (*stat)(struct backend *b, const char *name, struct backend_stat *ret, struct err *err); /* -ENOENT */
    void (*close)(struct backend *b);
};

struct backend {
    const struct backend_ops *ops;
};

/* Whether a repository can be at the location: a folder. -ENOTSUP: it is the address of something else, which must not become the
 * name of a folder; err lists what is supported. */
int backend_supported(const char *location, struct err *err);
/* A folder. `create`: made if absent; must be empty (-ENOTEMPTY; -EEXIST a repository is there). -ENOENT: the folder that it is to be in is
 * not there, unless parents are made. */
int backend_dir_create(const char *path, bool make_parents, struct err *err);
int backend_dir_open(const char *path, struct backend **ret, struct err *err);
void backend_close(struct backend *b); /* NULL is fine */

/* Now by the backend's clock, from a file that is made for it; 0: that cannot be told, since nothing can be written, say. */
int64_t backend_dir_now(struct backend *b);
/* Removes temporary files older than age_us (by the backend's clock). Does nothing on backends that leave none. */
void backend_dir_tidy(struct backend *b, int64_t age_us);

int backend_get(struct backend *b, const char *name, uint64_t off, void *p, size_t n, struct err *err);
int backend_put(struct backend *b, const char *name, const void *p, size_t n, enum backend_put how, struct err *err);
int backend_prepare(struct backend *b, const char *name, const void *p, size_t n, struct backend_prepared *ret, struct err *err);
int backend_publish(struct backend *b, const struct backend_prepared *p, struct err *err);
void backend_abandon(struct backend *b, const struct backend_prepared *p);
int backend_list(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err);
int backend_del(struct backend *b, const char *name, struct err *err);
int backend_stat(struct backend *b, const char *name, struct backend_stat *ret, struct err *err);
/* The whole object; -EFBIG if longer than max. */
int backend_read(struct backend *b, const char *name, size_t max, struct buf *ret, struct err *err);

#endif
