/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handles behind store.h. */
#ifndef STORE_HANDLE_HANDLE_H
#define STORE_HANDLE_HANDLE_H

#include "base/guid.h"
#include "store/chunk/chunks.h"
#include "store/object/object.h"
#include "store/index/index.h"
#include "store/point/point.h"
#include "store/lock/lock_session.h"
#include "store/store.h"
#include "store/tree/tree.h"

struct store {
    struct env env;
    char *location;
    struct config config;
    struct buf config_text;      /* as it was read */
    struct object_name key_name; /* of the key that opened it */
    char key_id[33];             /* the same as text; "": not encrypted */
    struct index *index;
    struct packer *packer;
    struct chunks *chunks;
    struct packer_stream meta;    /* nodes and documents */
    pthread_mutex_t lock;         /* below */
    struct lock_session *session; /* while there are writers */
    unsigned writers;
    unsigned merges; /* index_merges() when the session began */
};

/* As store_open(), on any backend, which is taken over (also on failure). */
int store_open_backend(struct backend *b, const char *location, const struct store_open *options, struct store **ret, struct err *err);
/* As store_create() on an empty backend; b stays the caller's. */
int store_create_backend(struct backend *b, const struct store_init *init, struct err *err);

/* Full id, unambiguous prefix or "latest". -ENOENT, -ENOTUNIQ, -EINVAL. */
int store_resolve(struct store *s, const char *id, struct chunk_id *ret, struct err *err);

/* Stores n bytes as the tree of a document. */
int store_put_document(struct store *s, const void *p, size_t n, struct tree_root *ret, struct err *err);

/* A session for writing is held from the first call to the matching last store_unhold(). */
int store_hold(struct store *s, struct err *err);
void store_unhold(struct store *s);

/* As session_begin(). -ESTALE: since config was read the master key or the version has changed; s->config is as it is now. */
int store_begin(struct store *s, enum lock_kind kind, const char *purpose, struct lock_session **ret, struct err *err);
/* Replaces config by a newer one (its generation is counted up here), checked by `crypt`. With a lock that keeps others from it. */
int store_put_config(struct store *s, struct crypt *crypt, struct config *config, struct err *err);

struct store_writer {
    struct store *store;
    pthread_mutex_t lock; /* data */
    struct point_data data;
    bool is_prepared; /* the point is durable, and only has to be published: */
    struct chunk_id id;
    struct backend_prepared prepared;
};
/* Adds the finished stream; -EEXIST if there is one of that kind and name. */
int writer_add(struct store_writer *w, const struct point_stream *s, struct err *err);

#endif
