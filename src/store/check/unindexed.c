/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs that no index file names: of backups that run or were interrupted, or left behind by an index file that was removed or replaced
 * by an older one. Which of these it is, the roots of the restore points tell: a backup puts its index before its point. */
#include "store/index/index.h"
#include "store/handle/handle.h"
#include <errno.h>
#include <string.h>

/* Whether the index does not name the chunk at all, not even in a pack that is lost. */
static bool unindexed_is_unknown(struct store *s, const struct chunk_id *id)
{
    struct location at;
    size_t seen = 0;

    return index_find(s->index, id, NULL, NULL) == 0 && index_find_next(s->index, id, &seen, &at, NULL) == 0;
}

/* Whether a tree of the point begins in no pack that an index names. */
static bool lacks_root(struct store *s, const struct chunk_id *id)
{
    _cleanup_point_data_ struct point_data d = { 0 };

    if (point_get(&s->env, id, &d, NULL) < 0)
        return false; /* forgotten meanwhile, or damaged: others tell of that */
    for (size_t i = 0; i < d.n; i++)
        if (d.streams[i].root.present && unindexed_is_unknown(s, &d.streams[i].root.id))
            return true;
    return false;
}

int store_unindexed(struct store *s, struct store_unindexed *ret, struct err *err)
{
    struct store_unindexed x = { 0 };
    _cleanup_free_ struct chunk_id *ids = NULL;
    size_t n = 0;

    /* The points first: what they need is in the index that is read after them, unless something is wrong. */
    int r = point_list(&s->env, &ids, &n, err);
    if (r == 0)
        r = index_reload(s->index, NULL, err);
    if (r < 0)
        return r;
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(s->index);
    _cleanup_names_ struct names unnamed = { 0 };
    r = index_set_unnamed(set, &s->env, &unnamed, err);
    x.packs = unnamed.n;
    for (size_t i = 0; r == 0 && x.packs && i < n; i++)
        x.points += lacks_root(s, &ids[i]);
    if (r == 0)
        *ret = x;
    return r;
}
