/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying a point to another repository. Ids differ between repositories (their keys do), so what is there already is found out
 * by comparing trees here: with the latest point whose copy the other one has, only branches that differ are read. */
#include "base/num.h"
#include "base/par.h"
#include "store/read.h"
#include <errno.h>
#include <string.h>

#define RUN 16 /* chunks written at once */

struct copying {
    struct store *from, *to;
    struct store_writer *w;
    const struct par_cancel *cancel;
    struct progress *progress;
    char base_copy[STORE_ID_LEN + 1];     /* a copy that `to` has already; "" if none */
    struct point_data base_data;          /* and what it is a copy of, in `from` */
    struct progress_task *task;
    struct store_image_writer *iw;
    uint64_t size;
    uint8_t *run;                         /* RUN chunks gathered */
};

/* ---- where to begin -------------------------------------------------------------------------------------------------------*/

/* Whether the point of `to` is p, or a copy of it, or both are copies of one. */
static bool same_point(const struct store_point_info *there, const struct store_point *p)
{
    char origin[STORE_ID_LEN + 1] = "";

    if (!point_is_original(&p->data))
        crypt_hex(p->data.origin.b, sizeof p->data.origin.b, origin);
    return strcmp(there->id, p->id) == 0 || strcmp(there->origin, p->id) == 0 ||
           (origin[0] && (strcmp(there->id, origin) == 0 || strcmp(there->origin, origin) == 0));
}

/* Looks for the point itself (1, *ret_id) and for the base among the copies that `to` has. */
static int find_copies(struct copying *c, const struct store_point *p, char ret_id[static 65], struct err *err)
{
    struct store_point_info *list;
    int64_t newest = INT64_MIN;
    size_t n;
    int r = store_list(c->to, &list, &n, NULL, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++) {
        if (same_point(&list[i], p)) {
            memcpy(ret_id, list[i].id, STORE_ID_LEN + 1);
            r = 1;
        } else if (list[i].origin[0] && list[i].time_us > newest) {
            _cleanup_point_data_ struct point_data d = {0};
            struct chunk_id origin;
            if (!crypt_unhex(list[i].origin, origin.b, sizeof origin.b) || point_get(&c->from->env, &origin, &d, NULL) < 0)
                continue; /* forgotten here */
            newest = list[i].time_us;
            point_data_free(&c->base_data);
            c->base_data = d;
            d = (struct point_data){0};
            memcpy(c->base_copy, list[i].id, STORE_ID_LEN + 1);
        }
    }
    store_list_free(list, n);
    return r;
}

/* ---- one image ------------------------------------------------------------------------------------------------------------*/

struct fetch {
    struct copying *c;
    struct chunk_id ids[RUN];
};

static int fetch_one(void *ctx, size_t i, struct err *err)
{
    struct fetch *f = ctx;
    _cleanup_view_ struct chunk_view v = {0};
    uint8_t *p = f->c->run + i * CHUNK_SIZE;
    int r = chunks_get(f->c->from->chunks, &(struct chunk_ref){f->ids[i], CRYPT_CHUNK}, &v, err);

    if (r < 0)
        return r;
    memcpy(p, v.p, v.n);
    memset(p + v.n, 0, CHUNK_SIZE - v.n);
    return 0;
}

static int write_run(struct copying *c, const struct fetch *f, uint64_t first, size_t n, struct err *err)
{
    uint64_t off = first * CHUNK_SIZE;
    int r = par_cancelled(c->cancel) ? err_set(err, ECANCELED, "cancelled")
                                     : pool_split(c->from->env.pool, n, fetch_one, (void *)f, err);

    if (r == 0)
        r = store_image_write(c->iw, off, c->run, num_min(n * CHUNK_SIZE, c->size - off), err);
    progress_add(c->task, num_min(n * CHUNK_SIZE, c->size - off));
    return r;
}

static int write_hole(struct copying *c, uint64_t first, uint64_t n, struct err *err)
{
    uint64_t off = first * CHUNK_SIZE;

    return off >= c->size ? 0 : store_image_zero(c->iw, off, num_min(n * CHUNK_SIZE, c->size - off), err);
}

/* Slots of two leaves that differ; old NULL: an empty one. */
static int copy_leaf(struct copying *c, const struct node *new, const struct node *old, uint64_t first, struct err *err)
{
    struct fetch f = {.c = c};
    int r = 0;

    for (unsigned i = 0, n; r == 0 && i < NODE_FANOUT; i += n ? n : 1) {
        for (n = 0; i + n < NODE_FANOUT && n < RUN && node_has(new, i + n); n++) {
            if (old && node_has(old, i + n) && memcmp(&new->slots[i + n], &old->slots[i + n], sizeof new->slots[0]) == 0)
                break;
            f.ids[n] = new->slots[i + n];
        }
        if (n)
            r = write_run(c, &f, first + i, n, err);
        else if (old && node_has(old, i) && !node_has(new, i))
            r = write_hole(c, first + i, 1, err);
    }
    return r;
}

/* A node of one of the two trees; absent: an empty one. */
static int load(struct store *s, const struct tree_root *at, struct node *ret, struct err *err)
{
    memset(ret, 0, sizeof *ret);
    ret->level = at->level;
    return at->present ? tree_node_get(s->chunks, &at->id, at->level, ret, err) : 0;
}

static struct tree_root slot_of(const struct node *n, unsigned i)
{
    return (struct tree_root){node_has(n, i), n->level - 1, n->slots[i]};
}

/* Walks two trees of one level beside each other, past what is the same. */
static int copy_diff(struct copying *c, const struct tree_root *new, const struct tree_root *old, uint64_t first, struct err *err)
{
    if (new->present == old->present && (!new->present || memcmp(&new->id, &old->id, sizeof new->id) == 0))
        return 0;
    if (!new->present)
        return write_hole(c, first, node_span(new->level) * NODE_FANOUT, err);
    _cleanup_free_ struct node *nodes = calloc(2, sizeof *nodes);
    if (!nodes)
        return err_errno(err, ENOMEM, "cannot copy an image");
    int r = load(c->from, new, &nodes[0], err);
    if (r == 0)
        r = load(c->from, old, &nodes[1], err);
    if (r == 0 && new->level == 0)
        return copy_leaf(c, &nodes[0], &nodes[1], first, err);
    for (unsigned i = 0; r == 0 && i < NODE_FANOUT; i++) {
        struct tree_root a = slot_of(&nodes[0], i), b = slot_of(&nodes[1], i);
        r = copy_diff(c, &a, &b, first + i * node_span(new->level), err);
    }
    return r;
}

/* The base can serve for an image of the same name and depth. */
static const struct point_stream *base_of(const struct copying *c, const struct point_stream *s)
{
    const struct point_stream *b = c->base_copy[0] ? point_data_find(&c->base_data, STREAM_IMAGE, s->name) : NULL;

    return b && b->root.level == s->root.level ? b : NULL;
}

static int copy_image(struct copying *c, const struct point_stream *s, struct err *err)
{
    const struct point_stream *b = base_of(c, s);
    struct tree_root none = {.level = s->root.level};

    c->size = s->size;
    int r = progress_task_new(c->progress, s->name, s->size, &c->task, err);
    if (r == 0)
        r = store_image_begin(c->w, s->name, s->size, b ? c->base_copy : NULL, b ? s->name : NULL, &c->iw, err);
    if (r < 0)
        return r;
    r = copy_diff(c, &s->root, b ? &b->root : &none, 0, err);
    progress_end(c->task);
    if (r < 0) {
        store_image_drop(c->iw);
        return r;
    }
    return store_image_end(c->iw, NULL, err);
}

/* ---- one point ------------------------------------------------------------------------------------------------------------*/

static int copy_document(struct copying *c, struct store_point *p, const char *name, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = store_read_document(p, name, &b, err);

    return r == 0 ? store_write_document(c->w, name, b.data, b.len, err) : r;
}

static int copy_streams(struct copying *c, struct store_point *p, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < p->data.n; i++) {
        const struct point_stream *s = &p->data.streams[i];
        r = s->kind == STREAM_IMAGE ? copy_image(c, s, err) : copy_document(c, p, s->name, err);
    }
    return r;
}

static int copy_point(struct copying *c, struct store_point *p, char ret_id[static 65], struct err *err)
{
    int r = store_write_begin(c->to, &c->w, err);

    if (r < 0)
        return r;
    r = copy_streams(c, p, err);
    if (r < 0) {
        store_write_abort(c->w);
        return r;
    }
    c->w->data.time_us = p->data.time_us;
    c->w->data.origin = p->data.origin;
    if (point_is_original(&p->data))
        crypt_unhex(p->id, c->w->data.origin.b, sizeof c->w->data.origin.b);
    return store_write_commit(c->w, p->data.meta, ret_id, err);
}

int store_copy_point(struct store *from, const char *id, struct store *to, struct progress *progress,
                     const struct par_cancel *cancel, char ret_id[static 65], struct err *err)
{
    struct copying c = {.from = from, .to = to, .cancel = cancel, .progress = progress, .run = malloc(RUN * CHUNK_SIZE)};
    struct store_point *p = NULL;
    char found[65];
    int r = c.run ? store_point_open(from, id, &p, err) : err_errno(err, ENOMEM, "cannot copy a restore point");

    if (r == 0)
        r = find_copies(&c, p, found, err);
    if (r == 0)
        r = copy_point(&c, p, found, err);
    if (r >= 0)
        memcpy(ret_id, found, sizeof found);
    store_point_close(p);
    point_data_free(&c.base_data);
    free(c.run);
    return r;
}
