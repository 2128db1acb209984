/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mutate_repository.h"
#include "base/num.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int get_point(struct mutation *m, struct chunk_id *id, struct point_data *ret)
{
    _cleanup_free_ char *path = mutation_pick(m, "points");
    const char *name = path ? strrchr(path, '/') + 1 : "";

    return crypt_unhex(name, id->b, sizeof id->b) ? point_get(&m->store->env, id, ret, NULL) : -1;
}

/* In the place of the one that was there, mostly. */
static int put_point(struct mutation *m, const struct chunk_id *old, const struct point_data *d)
{
    struct backend_prepared prepared;
    char path[OBJECT_PATH_SIZE];
    struct chunk_id id;

    if (point_prepare(&m->store->env, d, &id, &prepared, NULL) < 0 || backend_publish(m->store->env.backend, &prepared, NULL) < 0)
        return -1;
    return random() % 4 ? backend_del(m->store->env.backend, object_path("points", old->b, sizeof old->b, path), NULL) : 0;
}

static void set_size(struct point_stream *s, uint64_t size)
{
    int level = node_level_for(num_div_up(size, CHUNK_SIZE));

    s->size = size;
    if (level >= 0)
        s->root.level = (unsigned)level;
}

static void change_stream(struct point_data *d, struct point_stream *s)
{
    struct point_stream *other = &d->streams[(size_t)random() % d->n];
    static const char *const names[] = { "../../x", "vm", "META", "bcd.xml", "a/../b", "%s%n\xe2\x80\xae" };

    switch (random() % 9) {
    case 0: set_size(s, (uint64_t)1 << random() % 57); break;
    case 1: set_size(s, s->size + 1 - (uint64_t)random() % 3); break;
    case 2: s->size = (uint64_t)random() << 32; break;
    case 3: s->root.level = (unsigned)random() % 8; break;
    case 4: s->root = other->root; break;
    case 5: s->root.present = !s->root.present; break;
    case 6: s->kind = (enum stream_kind)(random() % 4); break;
    case 7: memcpy(s->name, other->name, sizeof s->name); break;
    default: snprintf(s->name, sizeof s->name, "%s", names[(size_t)random() % ARRAY_SIZE(names)]);
    }
}

static void change_point(struct point_data *d)
{
    struct buf meta = { .data = (uint8_t *)d->meta, .len = strlen(d->meta) };

    switch (random() % 8) {
    case 0: mutation_bytes(&meta, false); break;
    case 1: d->time_us = random() % 2 ? INT64_MAX : INT64_MIN; break;
    case 2: memset(d->origin.b, (int)random(), sizeof d->origin.b); break;
    case 3: d->n -= d->n > 1; break;
    default: change_stream(d, &d->streams[(size_t)random() % d->n]);
    }
}

int mutate_point(struct mutation *m)
{
    struct point_data d = { 0 };
    struct chunk_id id;

    int r = get_point(m, &id, &d);
    for (long changes = random() % 3 + 1; r == 0 && changes > 0; changes--)
        change_point(&d);
    if (r == 0)
        r = put_point(m, &id, &d);
    point_data_free(&d);
    puts("point: sealed again");
    return r;
}

/* ---- A tree that is small and says that it is huge --------------------------------------------------------------------------------*/

static int put_node(struct mutation *m, unsigned level, const struct chunk_id *below, struct chunk_id *ret)
{
    struct node n = { .level = level, .set = { UINT64_MAX, UINT64_MAX } };
    uint8_t bytes[NODE_BYTES_MAX];

    for (unsigned i = 0; i < NODE_FANOUT; i++)
        n.slots[i] = *below;
    size_t len = node_encode(&n, bytes);
    int r = crypt_id(m->store->env.crypt, CRYPT_NODE, bytes, len, ret);
    if (r == 0 && (r = index_claim(m->store->index, ret, NULL)) > 0)
        r = packer_add(&m->store->meta, ret, bytes, len, NULL);
    return r;
}

static int put_tree(struct mutation *m, unsigned levels, struct tree_root *ret)
{
    uint8_t chunk[512];
    struct chunk_id id;

    memset(chunk, 'x', sizeof chunk);
    int r = crypt_id(m->store->env.crypt, CRYPT_CHUNK, chunk, sizeof chunk, &id);
    if (r == 0 && (r = index_claim(m->store->index, &id, NULL)) > 0)
        r = packer_add(&m->store->meta, &id, chunk, sizeof chunk, NULL);
    for (unsigned level = 0; r == 0 && level <= levels; level++)
        r = put_node(m, level, &id, &id);
    *ret = (struct tree_root){ .present = true, .level = levels, .id = id };
    return r;
}

int mutate_tree(struct mutation *m)
{
    unsigned levels = 1 + (unsigned)random() % 5;
    struct point_data d = { 0 };
    struct tree_root root;
    struct chunk_id id;
    struct err err = ERR_INIT;

    int r = get_point(m, &id, &d);
    if (r == 0 && (r = store_hold(m->store, &err)) == 0) {
        if ((r = put_tree(m, levels, &root)) == 0 && (r = packer_flush(m->store->packer, &err)) == 0)
            r = index_save(m->store->index, &err);
        store_unhold(m->store);
    }
    for (size_t i = 0; r == 0 && i < d.n; i++)
        if (d.streams[i].kind == STREAM_IMAGE) {
            set_size(&d.streams[i], num_min((uint64_t)CHUNK_SIZE << 7 * (levels + 1), IMAGE_MAX));
            d.streams[i].root = root;
        }
    if (r == 0)
        r = put_point(m, &id, &d);
    point_data_free(&d);
    printf("tree: one branch again and again, %u levels\n", levels);
    return r;
}
