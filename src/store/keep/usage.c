/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is used by whom. Every entry of the index is given to the group that uses it, or to "several". What a chunk takes in
 * its pack is its share by size: chunks of a pack are compressed together. */
#include "store/tree/tree.h"
#include "store/index/index.h"
#include "store/reach/reach.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

#define NOBODY 0
#define SEVERAL UINT16_MAX
#define GROUPS_MAX 65000

struct using
{
    struct store *store;
    const char *(*group)(void *priv, const char *point, const char *meta, const char *stream);
    void *priv;
    struct store_usage *list; /* [0]: the total */
    size_t n;
    struct mark mark; /* of the group being counted */
    uint16_t **owner; /* per table and entry: group number, NOBODY or SEVERAL */
    struct pack_ratio {
        struct object_name pack;
        uint64_t raw, size;
    } * packs;
    size_t packs_n;
    struct data_count *counts;
};

/* ---- packs ----------------------------------------------------------------------------------------------------------------*/

static int usage_compare(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_NAME_LEN);
}

static struct pack_ratio *find_pack(const struct using *u, const struct object_name *name)
{
    return u->packs_n ? bsearch(name, u->packs, u->packs_n, sizeof *u->packs, usage_compare) : NULL;
}

static int add_raw(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct pack_ratio *p = find_pack(priv, &e->at.pack);

    (void)at;
    (void)err;
    if (p)
        p->raw += e->at.chunk_len;
    return 0;
}

static int measure_packs(struct using *u, struct err *err)
{
    _cleanup_names_ struct names names = { 0 };
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    int r = names_list(&u->store->env, "packs", &names, err);

    if (r < 0)
        return r;
    u->packs = calloc(names.n + 1, sizeof *u->packs);
    if (!u->packs)
        return err_nomem(err);
    for (size_t i = 0; i < names.n; i++) {
        if (backend_stat(u->store->env.backend, object_name_path("packs", &names.list[i], path), &st, NULL) < 0)
            continue; /* pruned meanwhile */
        u->packs[u->packs_n++] = (struct pack_ratio){ names.list[i], 0, st.size };
    }
    return index_set_each(u->mark.set, add_raw, u, err);
}

static uint64_t stored_bytes(const struct using *u, const struct index_entry *e)
{
    const struct pack_ratio *p = find_pack(u, &e->at.pack);

    return p && p->raw ? (uint64_t)((double)e->at.chunk_len * (double)p->size / (double)p->raw) : 0;
}

/* ---- groups ---------------------------------------------------------------------------------------------------------------*/

static int group_number(struct using *u, const char *name, size_t *ret)
{
    for (size_t i = 1; i < u->n; i++) {
        if (strcmp(u->list[i].group, name) == 0) {
            *ret = i;
            return 0;
        }
    }
    struct store_usage *list = u->n < GROUPS_MAX ? reallocarray(u->list, u->n + 1, sizeof *list) : NULL;
    if (!list)
        return -ENOMEM;
    u->list = list;
    list[u->n] = (struct store_usage){ .group = strdup(name) };
    if (!list[u->n].group)
        return -ENOMEM;
    *ret = u->n++;
    return 0;
}

/* Which group each stream belongs to: found out once, point by point. */
struct usage_member {
    size_t group;
    size_t point;
    struct point_stream stream;
};

struct usage_members {
    struct usage_member *list;
    size_t n;
};

static int add_members(struct using *u, struct usage_members *m, const struct chunk_id *id, size_t number, struct err *err)
{
    _cleanup_point_data_ struct point_data d = { 0 };
    char hex[STORE_ID_LEN + 1];
    int r = point_get(&u->store->env, id, &d, err);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    u->list[0].points++;
    for (size_t i = 0; i < d.n; i++) {
        const char *name = u->group ? u->group(u->priv, crypt_hex(id->b, sizeof id->b, hex), d.meta, d.streams[i].name) : NULL;
        struct usage_member one = { 0, number, d.streams[i] };
        struct usage_member *list = reallocarray(m->list, m->n + 1, sizeof *list);
        if (!list)
            return err_nomem(err);
        m->list = list;
        if (name && group_number(u, name, &one.group) < 0)
            return err_nomem(err);
        list[m->n++] = one;
    }
    return 0;
}

static int by_group(const void *a, const void *b)
{
    const struct usage_member *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->point < y->point ? -1 : x->point > y->point;
}

/* ---- counting -------------------------------------------------------------------------------------------------------------*/

/* Gives what the group's marks name to the group. */
static void own_marked(struct using *u, size_t group)
{
    for (size_t t = 0; t < u->mark.set->n; t++) {
        for (uint64_t i = 0; i < u->mark.set->tables[t]->top.entries; i++) {
            if (!mark_is(u->mark.used, (struct index_position){ t, i }))
                continue;
            uint16_t *owner = &u->owner[t][i];
            *owner = *owner == NOBODY ? (uint16_t)(group + 1) : SEVERAL;
        }
    }
}

struct tally {
    struct using *u;
    size_t group;
};

static int add_marked(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct tally *t = priv;
    struct store_usage *g = &t->u->list[t->group];

    (void)err;
    if (mark_is(t->u->mark.used, at)) {
        g->unique += e->at.chunk_len;
        g->stored += stored_bytes(t->u, e);
    }
    return 0;
}

static int usage_add_owned(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct using *u = priv;
    uint16_t owner = u->owner[at.table][at.entry];

    (void)err;
    if (owner == NOBODY)
        return 0;
    uint64_t stored = stored_bytes(u, e);
    u->list[0].unique += e->at.chunk_len;
    u->list[0].stored += stored;
    u->list[0].exclusive += stored;
    if (owner != SEVERAL && owner > 1)
        u->list[owner - 1].exclusive += stored;
    return 0;
}

static void add_stream(struct store_usage *g, const struct usage_member *m, uint64_t data, bool new_point)
{
    g->points += new_point;
    g->images += m->stream.kind == STREAM_IMAGE;
    g->logical += m->stream.size;
    g->data += data;
}

/* Members [from, to) are those of one group. */
static int count_group(struct using *u, const struct usage_members *m, size_t from, size_t to, struct err *err)
{
    size_t group = m->list[from].group;
    int r = 0;

    mark_clear(&u->mark);
    for (size_t i = from; r == 0 && i < to; i++) {
        uint64_t data = 0;
        r = data_count_tree(u->counts, &m->list[i].stream.root, &data, err);
        add_stream(&u->list[0], &m->list[i], data, false);
        if (group)
            add_stream(&u->list[group], &m->list[i], data, i == from || m->list[i].point != m->list[i - 1].point);
        if (r == 0)
            r = mark_tree(&u->mark, &m->list[i].stream.root, err);
    }
    if (r == 0 && group)
        r = index_set_each(u->mark.set, add_marked, &(struct tally){ u, group }, err);
    if (r == 0)
        own_marked(u, group);
    return r;
}

static int usage_count(struct using *u, struct usage_members *m, struct err *err)
{
    int r = 0;

    if (m->n)
        qsort(m->list, m->n, sizeof *m->list, by_group);
    for (size_t from = 0, to; r == 0 && from < m->n; from = to) {
        for (to = from; to < m->n && m->list[to].group == m->list[from].group; to++)
            ;
        r = count_group(u, m, from, to, err);
    }
    return r == 0 ? index_set_each(u->mark.set, usage_add_owned, u, err) : r;
}

static int usage_prepare(struct using *u, struct err *err)
{
    int r = index_reload(u->store->index, NULL, err);

    if (r == 0)
        r = mark_new(u->store, NULL, &u->mark, err);
    if (r == 0)
        r = data_count_new(u->store->chunks, &u->counts, err);
    if (r < 0)
        return r;
    u->list = calloc(1, sizeof *u->list);
    u->n = u->list ? 1 : 0;
    u->owner = calloc(u->mark.set->n + 1, sizeof *u->owner);
    for (size_t i = 0; u->owner && i < u->mark.set->n; i++) {
        u->owner[i] = calloc(u->mark.set->tables[i]->top.entries + 1, sizeof **u->owner);
        if (!u->owner[i])
            return err_nomem(err);
    }
    return u->list && u->owner ? measure_packs(u, err) : err_nomem(err);
}

int store_usage(struct store *s, const char *(*group)(void *priv, const char *point, const char *meta, const char *stream), void *priv,
                struct store_usage **ret, size_t *ret_n, struct err *err)
{
    struct using u = { .store = s, .group = group, .priv = priv };
    _cleanup_free_ struct chunk_id *ids = NULL;
    struct usage_members m = { 0 };
    size_t n = 0;
    int r = usage_prepare(&u, err);

    if (r == 0)
        r = point_list(&s->env, &ids, &n, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add_members(&u, &m, &ids[i], i, err);
    if (r == 0)
        r = usage_count(&u, &m, err);
    for (size_t i = 0; u.owner && i < u.mark.set->n; i++)
        free(u.owner[i]);
    free(u.owner);
    data_count_free(u.counts);
    free(u.packs);
    free(m.list);
    mark_free(&u.mark);
    if (r < 0) {
        store_usage_free(u.list, u.n);
        return r;
    }
    *ret = u.list;
    *ret_n = u.n;
    return 0;
}

void store_usage_free(struct store_usage *u, size_t n)
{
    for (size_t i = 0; u && i < n; i++)
        free(u[i].group);
    free(u);
}
