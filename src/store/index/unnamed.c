/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs that no index file names. */
#include "store/index/index_set.h"
#include "store/object/object.h"
#include <errno.h>

static int named_packs(const struct index_set *set, struct names *ret)
{
    for (size_t t = 0; t < set->n; t++) {
        const struct index_top *top = &set->tables[t]->top;
        for (uint32_t i = 0; i < top->packs; i++)
            if (names_add(ret, &top->pack_names[i]) < 0)
                return -ENOMEM;
    }
    names_sort(ret);
    return 0;
}

int index_set_unnamed(const struct index_set *set, struct env *env, struct names *ret, struct err *err)
{
    _cleanup_names_ struct names packs = { 0 }, named = { 0 };
    int r = names_list(env, "packs", &packs, err);

    if (r < 0)
        return r;
    if (named_packs(set, &named) < 0)
        return err_nomem(err);
    for (size_t i = 0; i < packs.n; i++)
        if (!names_has(&named, &packs.list[i]) && names_add(ret, &packs.list[i]) < 0)
            return err_nomem(err);
    return 0;
}
