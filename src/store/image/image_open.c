/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points being read: listing, opening, documents. */
#include "base/clock.h"
#include "base/num.h"
#include "base/strv.h"
#include "store/image/image_open.h"
#include <errno.h>
#include <string.h>

/* ---- listing --------------------------------------------------------------------------------------------------------------*/

static int by_making(const void *a, const void *b)
{
    const struct store_point_info *x = a, *y = b;

    if (x->made_us != y->made_us)
        return x->made_us < y->made_us ? -1 : 1;
    if (x->time_us != y->time_us)
        return x->time_us < y->time_us ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void log_bad(struct store *s, const struct err *err)
{
    log_error(s->env.log, "%s", err->text);
}

int store_list(struct store *s, struct store_point_info **ret, size_t *ret_n, size_t *ret_bad, struct err *err)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    int64_t now = clock_wall_us();
    size_t n, used = 0, bad = 0;
    int r = point_list(&s->env, &ids, &n, err);

    if (r < 0)
        return r;
    struct store_point_info *list = calloc(n + 1, sizeof *list);
    if (!list)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        _cleanup_point_data_ struct point_data d = { 0 };
        struct err local = ERR_INIT;
        r = point_get(&s->env, &ids[i], &d, &local);
        if (r == -ENOMEM) {
            store_list_free(list, used);
            return err_move(err, &local);
        }
        if (r < 0 && r != -ENOENT) { /* gone meanwhile is no damage */
            log_bad(s, &local);
            bad++;
        }
        if (r < 0)
            continue;
        crypt_hex(ids[i].b, sizeof ids[i].b, list[used].id);
        if (!point_is_original(&d))
            crypt_hex(d.origin.b, sizeof d.origin.b, list[used].origin);
        list[used].time_us = d.time_us;
        list[used].made_us = point_made(d.meta, d.time_us, now);
        list[used++].meta = TAKE_PTR(d.meta);
    }
    qsort(list, used, sizeof *list, by_making);
    *ret = list;
    *ret_n = used;
    if (ret_bad)
        *ret_bad = bad;
    return 0;
}

void store_list_free(struct store_point_info *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        free(list[i].meta);
    free(list);
}

/* ---- names of points ------------------------------------------------------------------------------------------------------*/

static int resolve_latest(struct store *s, struct chunk_id *ret, struct err *err)
{
    struct store_point_info *list;
    size_t n;
    int r = store_list(s, &list, &n, NULL, err);

    if (r < 0)
        return r;
    if (n)
        crypt_unhex(list[n - 1].id, ret->b, sizeof ret->b);
    store_list_free(list, n);
    return n ? 0 : err_set(err, ENOENT, "there is no restore point in %s", s->location);
}

static int resolve_prefix(struct store *s, const char *id, struct chunk_id *ret, struct err *err)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    char hex[2 * CRYPT_ID_LEN + 1];
    size_t n, found = 0;
    int r = point_list(&s->env, &ids, &n, err);

    for (size_t i = 0; r == 0 && i < n; i++) {
        if (strncmp(crypt_hex(ids[i].b, sizeof ids[i].b, hex), id, strlen(id)) == 0) {
            *ret = ids[i];
            found++;
        }
    }
    if (r < 0)
        return r;
    if (found > 1)
        return err_set(err, ENOTUNIQ, "%s is not unique: %zu restore points begin with it; give more digits", id, found);
    return found ? 0 : err_set(err, ENOENT, "there is no restore point %s in %s", id, s->location);
}

int store_resolve(struct store *s, const char *id, struct chunk_id *ret, struct err *err)
{
    size_t n = strlen(id);
    struct chunk_id found;

    if (strcmp(id, "latest") != 0 && (n < 6 || n > STORE_ID_LEN || strspn(id, "0123456789abcdef") != n))
        return err_set(err, ENOENT, "'%.80s' is not a restore point ID: 6 to %d hex digits, or latest", id, STORE_ID_LEN);
    if (n == STORE_ID_LEN && crypt_unhex(id, ret->b, sizeof ret->b))
        return 0;
    int r = strcmp(id, "latest") == 0 ? resolve_latest(s, &found, err) : resolve_prefix(s, id, &found, err);
    if (r == 0)
        *ret = found;
    return r;
}

/* ---- one point ------------------------------------------------------------------------------------------------------------*/

int store_point_open(struct store *s, const char *id, struct store_point **ret, struct err *err)
{
    struct store_point *p = calloc(1, sizeof *p);
    struct chunk_id name;

    if (!p)
        return err_nomem(err);
    p->store = s;
    int r = store_resolve(s, id, &name, err);
    if (r == 0)
        r = point_get(&s->env, &name, &p->data, err);
    if (r == -ENOENT)
        err_set(err, ENOENT, "there is no restore point %s in %s", id, s->location);
    for (size_t i = 0; r == 0 && i < p->data.n; i++) {
        const struct point_stream *stream = &p->data.streams[i];
        if (strv_add(stream->kind == STREAM_DOCUMENT ? &p->documents : &p->images, stream->name) < 0)
            r = err_nomem(err);
    }
    if (r < 0) {
        store_point_close(p);
        return r;
    }
    chunks_look_again(s->chunks);
    crypt_hex(name.b, sizeof name.b, p->id);
    *ret = p;
    return 0;
}

void store_point_close(struct store_point *p)
{
    if (!p)
        return;
    point_data_free(&p->data);
    strv_free(p->documents);
    strv_free(p->images);
    free(p);
}

const char *store_point_id(const struct store_point *p)
{
    return p->id;
}

const char *store_point_meta(const struct store_point *p)
{
    return p->data.meta;
}

int64_t store_point_time(const struct store_point *p)
{
    return p->data.time_us;
}

static char *const no_names[] = { NULL };

char *const *store_point_documents(const struct store_point *p)
{
    return p->documents ? p->documents : no_names;
}

char *const *store_point_images(const struct store_point *p)
{
    return p->images ? p->images : no_names;
}

int store_read_document(struct store_point *p, const char *name, struct buf *ret, struct err *err)
{
    const struct point_stream *s = point_data_find(&p->data, STREAM_DOCUMENT, name);
    _cleanup_buf_ struct buf b = BUF_INIT;
    struct tree_reader *tree = NULL;

    if (!s)
        return err_set(err, ENOENT, "restore point %s has no document '%s'", p->id, name);
    if (buf_reserve(&b, (size_t)s->size + 1) < 0)
        return err_nomem(err);
    int r = tree_reader_new(p->store->chunks, &s->root, &tree, err);
    for (uint64_t off = 0; r == 0 && off < s->size; off += CHUNK_SIZE)
        r = read_chunk(p->store, tree, off / CHUNK_SIZE, 0, b.data + off, num_min(CHUNK_SIZE, s->size - off), err);
    tree_reader_free(tree);
    if (r < 0)
        return err_context(err, "document %s of restore point %s", name, p->id);
    b.len = (size_t)s->size;
    b.data[b.len] = 0;
    buf_free(ret);
    *ret = b;
    b = (struct buf)BUF_INIT;
    return 0;
}
