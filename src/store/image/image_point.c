/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points being written: documents, and the commit in two steps. */
#include "base/clock.h"
#include "base/num.h"
#include "store/chunk/chunks.h"
#include "store/handle/handle.h"
#include "store/reach/reach.h"
#include <errno.h>
#include <string.h>

int store_write_begin(struct store *s, struct store_writer **ret, struct err *err)
{
    struct store_writer *w = calloc(1, sizeof *w);

    if (!w)
        return err_nomem(err);
    int r = store_hold(s, err);
    if (r < 0) {
        free(w);
        return r;
    }
    w->store = s;
    pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

int writer_add(struct store_writer *w, const struct point_stream *s, struct err *err)
{
    SCOPED_LOCK(&w->lock);
    if (point_data_find(&w->data, s->kind, s->name))
        return err_set(err, EEXIST, "the restore point already has '%s'", s->name);
    int r = point_data_add(&w->data, s);
    return r < 0 ? err_errno(err, -r, "cannot add '%s' to the restore point", s->name) : 0;
}

/* One chunk of a document. */
static int put_chunk(struct store *s, const void *p, size_t n, struct chunk_id *ret, struct err *err)
{
    int r = crypt_id(s->env.crypt, CRYPT_CHUNK, p, n, ret);

    if (r < 0)
        return err_errno(err, -r, "cannot store a document");
    r = index_claim(s->index, ret, err);
    return r > 0 ? packer_add(&s->meta, ret, p, n, err) : r;
}

int store_put_document(struct store *s, const void *p, size_t n, struct tree_root *ret, struct err *err)
{
    struct tree_out out = { s->chunks, s->index, &s->env, &s->meta, NULL };
    int level = node_level_for(num_div_up(n, CHUNK_SIZE));
    struct tree_writer *t;
    int r = tree_writer_new(&out, (unsigned)level, NULL, &t, err);

    if (r < 0)
        return r;
    for (size_t off = 0; r == 0 && off < n; off += CHUNK_SIZE) {
        const uint8_t *chunk = (const uint8_t *)p + off;
        size_t len = chunk_trim(chunk, num_min(CHUNK_SIZE, n - off));
        struct chunk_id id;
        if (len == 0)
            continue;
        r = put_chunk(s, chunk, len, &id, err);
        if (r == 0)
            r = tree_set(t, off / CHUNK_SIZE, &id, err);
    }
    if (r == 0)
        r = tree_end(t, (unsigned)level, ret, err);
    tree_writer_free(t);
    return r;
}

int store_write_document(struct store_writer *w, const char *name, const void *p, size_t n, struct err *err)
{
    struct point_stream s = { .kind = STREAM_DOCUMENT, .size = n };

    if (!point_name_ok(name))
        return err_set(err, EINVAL, "'%.300s' is not a valid document name", name);
    if (n > DOCUMENT_MAX)
        return err_set(err, EFBIG, "the document %s is %zu bytes long, only %llu are allowed", name, n, (unsigned long long)DOCUMENT_MAX);
    strcpy(s.name, name);
    int r = store_put_document(w->store, p, n, &s.root, err);
    if (r < 0)
        return r;
    return writer_add(w, &s, err);
}

static void point_writer_free(struct store_writer *w)
{
    if (w->is_prepared)
        backend_abandon(w->store->env.backend, &w->prepared);
    store_unhold(w->store);
    pthread_mutex_destroy(&w->lock);
    point_data_free(&w->data);
    free(w);
}

/* Packs, then the index over them: everything that the point will name is durable and can be found. */
static int make_durable(struct store *s, struct err *err)
{
    int r = packer_flush(s->packer, err);
    return r < 0 ? r : index_save(s->index, err);
}

int store_write_prepare(struct store_writer *w, const char *meta, char ret_id[static STORE_ID_LEN + 1], struct err *err)
{
    struct store *s = w->store;
    int r = make_durable(s, err);

    if (r < 0)
        return r;
    free(w->data.meta);
    w->data.meta = strdup(meta ? meta : "{}");
    if (!w->data.meta)
        return err_nomem(err);
    if (!w->data.time_us) /* a copy keeps the time of its original */
        w->data.time_us = clock_wall_us();
    r = session_still_ours(s->session, err);
    if (r == 0) /* now, while it may still fail; and once more when the point is there */
        r = store_settle_index(s, &w->data, err);
    if (r == 0)
        r = point_prepare(&s->env, &w->data, &w->id, &w->prepared, err);
    if (r < 0)
        return r;
    w->is_prepared = true;
    crypt_hex(w->id.b, sizeof w->id.b, ret_id);
    return 0;
}

static int point_publish(struct store_writer *w, struct err *err)
{
    struct store *s = w->store;
    struct err lost = ERR_INIT;
    int r = session_still_ours(s->session, err);

    if (r == 0)
        r = backend_publish(s->env.backend, &w->prepared, err);
    if (r < 0)
        return r;
    w->is_prepared = false;
    /* If our lock was broken in between, a prune may have run without knowing of us. */
    r = store_settle_index(s, &w->data, &lost);
    if (r == 0)
        r = session_still_ours(s->session, &lost);
    if (r < 0) {
        char path[OBJECT_PATH_SIZE];
        backend_del(s->env.backend, object_path("points", w->id.b, sizeof w->id.b, path), NULL);
        return err_move(err, &lost);
    }
    return 0;
}

int store_write_publish(struct store_writer *w, struct err *err)
{
    int r = w->is_prepared ? point_publish(w, err) : err_set(err, EPROTO, "the restore point was not prepared");

    point_writer_free(w);
    return r;
}

int store_write_commit(struct store_writer *w, const char *meta, char ret_id[static STORE_ID_LEN + 1], struct err *err)
{
    int r = store_write_prepare(w, meta, ret_id, err);

    if (r == 0)
        return store_write_publish(w, err);
    point_writer_free(w);
    return r;
}

void store_write_abort(struct store_writer *w)
{
    if (w)
        point_writer_free(w);
}
