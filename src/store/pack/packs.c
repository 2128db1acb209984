/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/pack/packs.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

static int packs_compare(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_NAME_LEN); /* the name is the first member */
}

int packs_list(struct env *env, struct packs *ret, struct err *err)
{
    _cleanup_names_ struct names names = { 0 };
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    int r = names_list(env, "packs", &names, err);

    if (r < 0)
        return r;
    struct pack_size *list = calloc(names.n + 1, sizeof *list);
    if (!list)
        return err_nomem(err);
    ret->list = list;
    ret->n = 0;
    for (size_t i = 0; i < names.n; i++)
        if (backend_stat(env->backend, object_name_path("packs", &names.list[i], path), &st, NULL) == 0)
            list[ret->n++] = (struct pack_size){ names.list[i], st.size };
    return 0;
}

void packs_free(struct packs *p)
{
    free(p->list);
    *p = (struct packs){ 0 };
}

const struct pack_size *packs_find(const struct pack_size *list, size_t n, const struct object_name *name)
{
    return n ? bsearch(name, list, n, sizeof *list, packs_compare) : NULL;
}

struct lost_packs *lost_packs_ref(struct lost_packs *l)
{
    if (l)
        atomic_fetch_add(&l->refs, 1);
    return l;
}

void lost_packs_unref(struct lost_packs *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    packs_free(&l->packs);
    free(l);
}

bool lost_packs_names(const struct lost_packs *l, const struct object_name *pack)
{
    return l && packs_find(l->packs.list, l->packs.n, pack);
}

bool lost_packs_has(const struct lost_packs *l, const struct location *at)
{
    const struct pack_size *p = l ? packs_find(l->packs.list, l->packs.n, &at->pack) : NULL;

    return p && (uint64_t)at->off + at->len > p->size;
}
