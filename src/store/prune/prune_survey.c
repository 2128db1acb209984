/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a prune finds: points, used chunks, packs. */
#include "store/index/index.h"
#include "store/prune/prune_internal.h"
#include "store/reach/reach.h"
#include <errno.h>
#include <string.h>

static int survey_compare(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_NAME_LEN);
}

struct pack_use *prune_pack(const struct pruning *p, const struct object_name *name)
{
    /* The name is the first member. */
    return p->packs_n ? bsearch(name, p->packs, p->packs_n, sizeof *p->packs, survey_compare) : NULL;
}

/* Read after the index: then every pack that the index names was put before the list was made. */
static int list_packs(struct pruning *p, struct err *err)
{
    _cleanup_names_ struct names names = { 0 };
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    int r = names_list(&p->store->env, "packs", &names, err);

    if (r < 0)
        return r;
    free(p->packs);
    p->packs_n = 0;
    p->packs = calloc(names.n + 1, sizeof *p->packs);
    if (!p->packs)
        return err_nomem(err);
    for (size_t i = 0; i < names.n; i++) {
        r = backend_stat(p->store->env.backend, object_name_path("packs", &names.list[i], path), &st, err);
        if (r < 0)
            return r;
        p->packs[p->packs_n++] = (struct pack_use){ .name = names.list[i], .size = st.size };
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
        return err_set(err, EUCLEAN, "%zu index files are damaged; run `kvss repair index` to rebuild the index, then prune again", bad);
    return r;
}

static int mark_all(struct pruning *p, struct err *err)
{
    mark_free(&p->mark);
    p->mark.set = NULL;
    int r = mark_new(p->store, p->options->cancel, &p->mark, err);

    return r < 0 ? r : mark_points(&p->mark, p->points, p->points_n, err);
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
static int survey_adopt_all(struct pruning *p, struct err *err)
{
    struct err why = ERR_INIT;

    for (size_t i = 0; i < p->packs_n; i++)
        p->packs[i].indexed = false;
    int r = index_set_each(p->mark.set, note_indexed, p, NULL);
    for (size_t i = 0; r == 0 && i < p->packs_n; i++)
        if (!p->packs[i].indexed && store_adopt_pack(p->store, &p->packs[i].name, &why) < 0)
            log_warning(p->store->env.log, "%s", why.text);
    return p->options->dry_run ? index_suppose(p->store->index, err) : index_save(p->store->index, err);
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
        r = survey_adopt_all(p, err);
        if (r == 0 && !p->options->dry_run)
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
