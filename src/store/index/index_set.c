/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/index/index_set.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

int index_set_new(struct index_set **ret, struct err *err)
{
    struct index_set *set = calloc(1, sizeof *set);

    if (!set)
        return err_nomem(err);
    set->refs = 1;
    *ret = set;
    return 0;
}

struct index_set *index_set_ref(struct index_set *set)
{
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void index_set_unref(struct index_set *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    for (size_t i = 0; i < set->n; i++)
        index_table_unref(set->tables[i]);
    free(set->tables);
    free(set->present);
    lost_packs_unref(set->lost);
    free(set);
}

/* Takes over the caller's reference to t, also on failure. */
static int index_set_push(struct index_set *set, struct index_table *t, struct err *err)
{
    struct index_table **tables = reallocarray(set->tables, set->n + 1, sizeof *tables);

    if (!tables) {
        index_table_unref(t);
        return err_nomem(err);
    }
    set->tables = tables;
    tables[set->n++] = t;
    return 0;
}

int index_set_copy(struct index_set *set, struct index_set **ret, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *copy = NULL;
    int r = index_set_new(&copy, err);

    if (r == 0)
        copy->lost = lost_packs_ref(set->lost);
    for (size_t i = 0; r == 0 && i < set->n; i++) {
        atomic_fetch_add(&set->tables[i]->refs, 1);
        r = index_set_push(copy, set->tables[i], err);
    }
    if (r == 0)
        *ret = TAKE_PTR(copy);
    return r;
}

int index_set_add(struct index_set *set, struct env *env, const struct object_name *name, atomic_size_t *budget, struct err *err)
{
    struct index_table *t;
    int r = index_table_open(env, name, budget, &t, err);

    return r < 0 ? r : index_set_push(set, t, err);
}

int index_set_add_file(struct index_set *set, struct env *env, struct index_file *file, atomic_size_t *budget, struct err *err)
{
    struct index_table *t;
    int r = index_table_open_file(env, file, budget, &t, err);

    return r < 0 ? r : index_set_push(set, t, err);
}

/* ---- loading --------------------------------------------------------------------------------------------------------------*/

static struct index_table *opened(struct index_set *old, const struct object_name *name)
{
    for (size_t i = 0; old && i < old->n; i++)
        if (memcmp(&old->tables[i]->name, name, sizeof *name) == 0)
            return old->tables[i];
    return NULL;
}

/* Opens one more table. A damaged one is passed over: its chunks count as not there, which is safe. */
static int index_set_load_one(struct index_set *set, struct env *env, atomic_size_t *budget, struct index_table *have,
                              const struct object_name *name, size_t *bad)
{
    struct err err = ERR_INIT;

    if (have) {
        atomic_fetch_add(&have->refs, 1);
        return index_set_push(set, have, NULL);
    }
    int r = index_set_add(set, env, name, budget, &err);
    if (r == -EUCLEAN || r == -EPROTONOSUPPORT || r == -EIO) {
        log_warning(env->log, "%s; continuing without it", err.text);
        ++*bad;
        return 0;
    }
    /* Merged away since it was listed; left over from a rotation of the master key, or planted by whoever has an older one. */
    return r == -ENOENT || r == -EKEYREVOKED ? 0 : r;
}

static bool superseded(const struct index_set *set, const struct object_name *name)
{
    for (size_t i = 0; i < set->n; i++) {
        const struct index_top *top = &set->tables[i]->top;
        for (uint32_t k = 0; k < top->superseded; k++)
            if (memcmp(&top->superseded_names[k], name, sizeof *name) == 0)
                return true;
    }
    return false;
}

static int drop_superseded(struct index_set *set, struct names *names, struct index_set **ret, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *kept = NULL;
    int r = index_set_new(&kept, err);

    for (size_t i = 0; r == 0 && i < set->n; i++) {
        if (superseded(set, &set->tables[i]->name))
            continue;
        atomic_fetch_add(&set->tables[i]->refs, 1);
        r = index_set_push(kept, set->tables[i], err);
    }
    if (r < 0)
        return r;
    kept->present = TAKE_PTR(names->list);
    kept->present_n = names->n;
    *ret = TAKE_PTR(kept);
    return 0;
}

int index_set_load(struct env *env, atomic_size_t *budget, struct index_set *old, struct index_set **ret, size_t *ret_bad, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *set = NULL;
    _cleanup_names_ struct names names = { 0 };
    size_t bad = 0;
    int r = index_set_new(&set, err);

    if (r == 0)
        r = names_list(env, "index", &names, err);
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        r = index_set_load_one(set, env, budget, opened(old, &names.list[i]), &names.list[i], &bad);
        if (r < 0)
            err_errno(err, -r, "cannot read the index");
    }
    if (r == 0)
        r = drop_superseded(set, &names, ret, err);
    if (r == 0 && ret_bad)
        *ret_bad = bad;
    return r;
}

static int index_index_set_find(struct index_set *set, const struct chunk_id *id,
                                bool (*skip)(const struct index_set *set, const struct location *at), struct location *ret,
                                struct index_position *ret_at, struct err *err)
{
    struct location at;

    for (size_t i = 0; i < set->n; i++) {
        uint64_t entry;
        int r = index_table_find(set->tables[i], id, ret || skip ? &at : NULL, &entry, err);
        if (r < 0)
            return r;
        if (r == 0 || (skip && skip(set, &at)))
            continue;
        if (ret)
            *ret = at;
        if (ret_at)
            *ret_at = (struct index_position){ i, entry };
        return 1;
    }
    return 0;
}

static bool in_lost_pack(const struct index_set *set, const struct location *at)
{
    return lost_packs_names(set->lost, &at->pack);
}

static bool index_set_is_lost(const struct index_set *set, const struct location *at)
{
    return lost_packs_has(set->lost, at);
}

int index_set_find(struct index_set *set, const struct chunk_id *id, struct location *ret, struct index_position *ret_at, struct err *err)
{
    int r = index_index_set_find(set, id, set->lost ? in_lost_pack : NULL, ret, ret_at, err);

    /* What is left of a pack that was cut short is better than nothing. */
    return r == 0 && set->lost ? index_index_set_find(set, id, index_set_is_lost, ret, ret_at, err) : r;
}

int index_set_find_next(struct index_set *set, const struct chunk_id *id, size_t *seen, struct location *ret, struct err *err)
{
    size_t found = 0;

    for (size_t i = 0; i < set->n; i++) {
        int r = index_table_find(set->tables[i], id, ret, NULL, err);
        if (r < 0)
            return r;
        if (r > 0 && found++ == *seen) {
            ++*seen;
            return 1;
        }
    }
    return 0;
}

/* ---- lost packs -----------------------------------------------------------------------------------------------------------*/

static uint64_t size_now(struct env *env, const struct packs *there, const struct object_name *name)
{
    const struct pack_size *p = packs_find(there->list, there->n, name);
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;

    /* It may be younger than the list. */
    return p ? p->size : backend_stat(env->backend, object_name_path("packs", name, path), &st, NULL) == 0 ? st.size : 0;
}

static int note_lost(struct lost_packs *l, const struct object_name *name, uint64_t size)
{
    struct packs *p = &l->packs;
    size_t at = 0;

    while (at < p->n && memcmp(&p->list[at].name, name, sizeof *name) < 0)
        at++;
    if (at < p->n && memcmp(&p->list[at].name, name, sizeof *name) == 0)
        return 0;
    struct pack_size *list = reallocarray(p->list, p->n + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    p->list = list;
    memmove(list + at + 1, list + at, (p->n - at) * sizeof *list);
    list[at] = (struct pack_size){ *name, size };
    p->n++;
    return 0;
}

int index_set_look(struct index_set *set, struct env *env, const struct packs *there, struct err *err)
{
    _cleanup_(lost_packs_unref_p) struct lost_packs *lost = calloc(1, sizeof *lost);
    bool ok = lost != NULL;

    if (ok)
        lost->refs = 1;
    for (size_t t = 0; ok && t < set->n; t++) {
        const struct index_top *top = &set->tables[t]->top;
        const uint32_t *reach = index_table_reach(set->tables[t]);
        ok = reach != NULL;
        for (uint32_t i = 0; ok && i < top->packs; i++) {
            uint64_t size = size_now(env, there, &top->pack_names[i]);
            if (size < reach[i])
                ok = note_lost(lost, &top->pack_names[i], size) == 0;
        }
    }
    if (!ok)
        return err_nomem(err);
    lost_packs_unref(set->lost);
    set->lost = lost->packs.n ? TAKE_PTR(lost) : NULL;
    return 0;
}
