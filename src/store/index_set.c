/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/index_set.h"
#include "store/names.h"
#include <errno.h>
#include <string.h>

int index_set_new(struct index_set **ret, struct err *err)
{
    struct index_set *set = calloc(1, sizeof *set);

    if (!set)
        return err_errno(err, ENOMEM, "cannot read the index");
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
    free(set);
}

/* Takes over the caller's reference to t, also on failure. */
static int push(struct index_set *set, struct index_table *t, struct err *err)
{
    struct index_table **tables = reallocarray(set->tables, set->n + 1, sizeof *tables);

    if (!tables) {
        index_table_unref(t);
        return err_errno(err, ENOMEM, "cannot read the index");
    }
    set->tables = tables;
    tables[set->n++] = t;
    return 0;
}

int index_set_copy(struct index_set *set, struct index_set **ret, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *copy = NULL;
    int r = index_set_new(&copy, err);

    for (size_t i = 0; r == 0 && i < set->n; i++) {
        atomic_fetch_add(&set->tables[i]->refs, 1);
        r = push(copy, set->tables[i], err);
    }
    if (r == 0)
        *ret = TAKE_PTR(copy);
    return r;
}

int index_set_add(struct index_set *set, struct env *env, const struct object_name *name, atomic_size_t *budget,
                  struct err *err)
{
    struct index_table *t;
    int r = index_table_open(env, name, budget, &t, err);

    return r < 0 ? r : push(set, t, err);
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
static int load_one(struct index_set *set, struct env *env, atomic_size_t *budget, struct index_table *have,
                    const struct object_name *name, size_t *bad)
{
    struct err err = ERR_INIT;

    if (have) {
        atomic_fetch_add(&have->refs, 1);
        return push(set, have, NULL);
    }
    int r = index_set_add(set, env, name, budget, &err);
    if (r == -EUCLEAN || r == -EPROTONOSUPPORT || r == -EIO) {
        log_warning(env->log, "%s; going on without it", err.text);
        ++*bad;
        return 0;
    }
    return r == -ENOENT ? 0 : r; /* -ENOENT: merged away since it was listed */
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
        r = push(kept, set->tables[i], err);
    }
    if (r < 0)
        return r;
    kept->present = TAKE_PTR(names->list);
    kept->present_n = names->n;
    *ret = TAKE_PTR(kept);
    return 0;
}

int index_set_load(struct env *env, atomic_size_t *budget, struct index_set *old, struct index_set **ret, size_t *ret_bad,
                   struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *set = NULL;
    _cleanup_names_ struct names names = {0};
    size_t bad = 0;
    int r = index_set_new(&set, err);

    if (r == 0)
        r = names_list(env, "index", &names, err);
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        r = load_one(set, env, budget, opened(old, &names.list[i]), &names.list[i], &bad);
        if (r < 0)
            err_errno(err, -r, "cannot read the index");
    }
    if (r == 0)
        r = drop_superseded(set, &names, ret, err);
    if (r == 0 && ret_bad)
        *ret_bad = bad;
    return r;
}

int index_set_find(struct index_set *set, const struct chunk_id *id, struct location *ret, struct index_position *ret_at,
                   struct err *err)
{
    for (size_t i = 0; i < set->n; i++) {
        uint64_t entry;
        int r = index_table_find(set->tables[i], id, ret, &entry, err);
        if (r != 0) {
            if (r > 0 && ret_at)
                *ret_at = (struct index_position){i, entry};
            return r;
        }
    }
    return 0;
}
