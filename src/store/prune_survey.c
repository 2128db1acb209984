/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a prune finds: points, used chunks, packs. */
#include "store/index_merge.h"
#include "store/prune_internal.h"
#include <errno.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_NAME_LEN);
}

struct pack_use *prune_pack(const struct pruning *p, const struct object_name *name)
{
    /* The name is the first member. */
    return p->packs_n ? bsearch(name, p->packs, p->packs_n, sizeof *p->packs, compare) : NULL;
}

/* Read after the index: then every pack that the index names was put before the list was made. */
static int list_packs(struct pruning *p, struct err *err)
{
    _cleanup_names_ struct names names = {0};
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    int r = names_list(&p->store->env, "packs", &names, err);

    if (r < 0)
        return r;
    free(p->packs);
    p->packs_n = 0;
    p->packs = calloc(names.n + 1, sizeof *p->packs);
    if (!p->packs)
        return err_errno(err, ENOMEM, "cannot keep track of the packs");
    for (size_t i = 0; i < names.n; i++) {
        r = backend_stat(p->store->env.backend, object_name_path("packs", &names.list[i], path), &st, err);
        if (r < 0)
            return r;
        p->packs[p->packs_n++] = (struct pack_use){.name = names.list[i], .size = st.size};
    }
    return 0;
}

static int load_index(struct pruning *p, struct err *err)
{
    size_t bad = 0;
    int r = index_look(p->store->index, err);

    if (r == 0)
        r = index_reload(p->store->index, &bad, err);
    if (r == 0 && bad)
        return err_set(err, EUCLEAN, "%zu index files are damaged; `kvss repair index` makes a new index, then prune again", bad);
    return r;
}

static int mark_all(struct pruning *p, struct err *err)
{
    mark_free(&p->mark);
    p->mark.set = NULL;
    int r = mark_new(p->store, p->options->cancel, &p->mark, err);

    return r < 0 ? r : mark_points(&p->mark, p->points, p->points_n, err);
}

struct adopting {
    struct index *index;
    const struct object_name *pack;
    struct buf footer;
    uint32_t segments;
};

/* Makes the footer anew that index_add_pack() takes. */
static int adopt_segment(void *priv, const struct footer_segment *s)
{
    struct adopting *a = priv;
    struct chunk_id ids[SEGMENT_CHUNKS];
    uint32_t lens[SEGMENT_CHUNKS];

    for (unsigned i = 0; i < s->n; i++) {
        memcpy(ids[i].b, footer_chunk(s, i), CRYPT_ID_LEN);
        lens[i] = num_get_le32(footer_chunk(s, i) + CRYPT_ID_LEN);
    }
    a->segments++;
    return footer_add(&a->footer, s->off, s->len, s->n, ids, lens);
}

int prune_adopt_pack(struct store *s, const struct object_name *pack, struct err *err)
{
    struct adopting a = {.index = s->index, .pack = pack};
    int r = footer_begin(&a.footer);

    r = r < 0 ? err_errno(err, -r, "cannot read a pack") : pack_walk(&s->env, pack, adopt_segment, &a, err);
    if (r == 0) {
        footer_end(&a.footer, a.segments);
        r = index_add_pack(s->index, pack, &a.footer);
        if (r < 0)
            err_errno(err, -r, "cannot keep track of chunks");
    }
    buf_free(&a.footer);
    return r;
}

static int note_indexed(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct pruning *p = priv;
    struct pack_use *u = prune_pack(p, &e->at.pack);
    bool used = mark_is(p->mark.used, at);
    char hex[2 * OBJECT_NAME_LEN + 1];

    if (!u && used)
        return err_set(err, EUCLEAN, "packs/%s is missing, and restore points need it", crypt_hex(e->at.pack.b, sizeof e->at.pack.b, hex));
    if (u) {
        u->indexed = true;
        u->raw += e->at.chunk_len;
        u->used += used ? e->at.chunk_len : 0;
    }
    return 0;
}

/* Packs that no index names, taken into the index: a chunk that is missing may be in them (an index file was lost). */
static int adopt_all(struct pruning *p, struct err *err)
{
    struct err why = ERR_INIT;

    for (size_t i = 0; i < p->packs_n; i++)
        p->packs[i].indexed = false;
    int r = index_set_each(p->mark.set, note_indexed, p, NULL);
    for (size_t i = 0; r == 0 && i < p->packs_n; i++)
        if (!p->packs[i].indexed && prune_adopt_pack(p->store, &p->packs[i].name, &why) < 0)
            log_warning(p->store->env.log, "%s", why.text);
    return index_save(p->store->index, err);
}

int prune_survey(struct pruning *p, struct err *err)
{
    int r = load_index(p, err);

    if (r == 0)
        r = list_packs(p, err);
    if (r == 0)
        r = (p->options->dry_run ? garbage_look : garbage_load)(&p->store->env, &p->garbage, err);
    if (r == 0)
        r = point_list(&p->store->env, &p->points, &p->points_n, err);
    if (r == 0)
        r = mark_all(p, err);
    if (r == -EUCLEAN && p->mark.set) { /* the index could be read, and lacks something */
        struct err first = ERR_INIT;
        err_move(&first, err);
        r = adopt_all(p, err);
        if (r == 0)
            r = load_index(p, err);
        if (r == 0)
            r = list_packs(p, err);
        if (r == 0 && mark_all(p, err) < 0)
            return err_move(err, &first);
    }
    if (r == 0)
        r = index_set_each(p->mark.set, note_indexed, p, err);
    p->result.points = p->mark.points;
    p->result.chunks = p->mark.chunks;
    return r;
}
