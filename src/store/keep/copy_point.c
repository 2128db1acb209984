/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying a point to another repository. Ids differ between repositories (their keys do), so what is there already is found out
 * by comparing trees here: with the latest point whose copy the other one has, only branches that differ are read. */
#include "store/image/image_open.h"
#include "store/keep/copy_tree.h"
#include <errno.h>
#include <string.h>

struct copying {
    struct store *from, *to;
    struct store_writer *w;
    const struct store_copy *options;
    struct point_data base_copy, base_data; /* a copy that `to` has already, and what it is a copy of, in `from`; empty if there is none */
    struct copy_tree *tree;
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

/* Reads both sides of a copy that `to` has. Where one cannot be read, the base stays what it is. */
static bool take_base(struct copying *c, const struct store_point_info *there)
{
    struct point_data copy = { 0 }, data = { 0 };
    struct chunk_id id, origin;

    if (!crypt_unhex(there->origin, origin.b, sizeof origin.b) || !crypt_unhex(there->id, id.b, sizeof id.b) ||
        point_get(&c->from->env, &origin, &data, NULL) < 0)
        return false; /* forgotten here */
    if (point_get(&c->to->env, &id, &copy, NULL) < 0) {
        point_data_free(&data);
        return false;
    }
    point_data_free(&c->base_data);
    point_data_free(&c->base_copy);
    c->base_data = data;
    c->base_copy = copy;
    return true;
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
        } else if (list[i].origin[0] && list[i].time_us > newest && take_base(c, &list[i])) {
            newest = list[i].time_us;
        }
    }
    store_list_free(list, n);
    return r;
}

/* ---- one image ------------------------------------------------------------------------------------------------------------*/

static const struct point_stream *copied_image(const struct point_data *d, const struct point_stream *s)
{
    return point_data_find(d, STREAM_IMAGE, s->name);
}

static int copy_image(struct copying *c, const struct point_stream *s, struct err *err)
{
    struct point_stream made = { .kind = STREAM_IMAGE, .size = s->size };
    struct progress_task *task;
    int r = progress_task_new(c->options->progress, s->name, s->size, &task, err);

    if (r < 0)
        return r;
    strcpy(made.name, s->name);
    r = copy_tree_image(c->tree, s, copied_image(&c->base_data, s), copied_image(&c->base_copy, s), task, &made.root, err);
    progress_end(task);
    return r == 0 ? writer_add(c->w, &made, err) : r;
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
    r = copy_tree_new(c->from, c->to, c->options->cancel, &c->tree, err);
    if (r == 0)
        r = copy_streams(c, p, err);
    copy_tree_free(c->tree);
    if (r < 0) {
        store_write_abort(c->w);
        return r;
    }
    c->w->data.time_us = p->data.time_us;
    c->w->data.origin = p->data.origin;
    if (point_is_original(&p->data))
        crypt_unhex(p->id, c->w->data.origin.b, sizeof c->w->data.origin.b);
    r = store_write_prepare(c->w, p->data.meta, ret_id, err);
    if (r < 0) {
        store_write_abort(c->w);
        return r;
    }
    if (c->options->prepared)
        c->options->prepared(c->options->priv, ret_id);
    return store_write_publish(c->w, err);
}

int store_copy_point(struct store *from, const char *id, struct store *to, const struct store_copy *options, char ret_id[static 65],
                     struct err *err)
{
    struct copying c = { .from = from, .to = to, .options = options ? options : &(struct store_copy){ 0 } };
    struct store_point *p = NULL;
    char found[65];
    int r = store_point_open(from, id, &p, err);

    if (r == 0)
        r = find_copies(&c, p, found, err);
    if (r == 0)
        r = copy_point(&c, p, found, err);
    if (r >= 0)
        memcpy(ret_id, found, sizeof found);
    store_point_close(p);
    point_data_free(&c.base_data);
    point_data_free(&c.base_copy);
    return r;
}
