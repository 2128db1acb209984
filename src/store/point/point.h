/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points as objects. docs/format.md, "Restore points". */
#ifndef STORE_POINT_POINT_H
#define STORE_POINT_POINT_H

#include "store/object/object.h"
#include "store/store.h"
#include "store/tree/tree.h"

#define POINT_MAGIC "KVSSPONT"
#define POINT_BYTES_MAX ((size_t)16 << 20)
#define POINT_STREAMS_MAX 65536
#define DOCUMENT_MAX ((uint64_t)64 << 20)
#define IMAGE_MAX ((uint64_t)1 << 56)

enum stream_kind { STREAM_DOCUMENT = 1, STREAM_IMAGE = 2 };

struct point_stream {
    enum stream_kind kind;
    char name[STORE_NAME_MAX + 1];
    uint64_t size;
    struct tree_root root;
};

struct point_data {
    char *meta;
    int64_t time_us;
    struct chunk_id origin; /* the point this is a copy of; all zeros: none */
    struct point_stream *streams;
    size_t n;
};
void point_data_free(struct point_data *d);
#define _cleanup_point_data_ _cleanup_(point_data_free)

bool point_is_original(const struct point_data *d);
/* 0 or -ENOMEM; room for one more at the end. */
int point_data_add(struct point_data *d, const struct point_stream *s);
const struct point_stream *point_data_find(const struct point_data *d, enum stream_kind kind, const char *name);
/* A name that a stream may have: STORE_NAME_MAX, '/'-separated, no empty, "." or ".." part, no control characters. */
bool point_name_ok(const char *name);

/* Payload from and to bytes. Pure. */
int point_encode(const struct point_data *d, struct buf *ret);
int point_parse(const uint8_t *p, size_t n, struct point_data *ret); /* -EBADMSG, -ENOMEM */

/* Seals and prepares it (backend.h); *ret_id its name. */
int point_prepare(struct env *env, const struct point_data *d, struct chunk_id *ret_id, struct backend_prepared *ret, struct err *err);
/* -ENOENT, -EUCLEAN. */
int point_get(struct env *env, const struct chunk_id *id, struct point_data *ret, struct err *err);

/* What orders points by when they were made: "made_us" of the outermost object of meta, else the time, but 0 if that is ahead of now. */
int64_t point_made(const char *meta, int64_t time_us, int64_t now_us);

/* Names of all points, in no order. Caller frees. */
int point_list(struct env *env, struct chunk_id **ret, size_t *ret_n, struct err *err);

#endif
