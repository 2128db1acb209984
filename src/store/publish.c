/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A point that is about to be there, or just is, and the index. A prune that ran beside the session took out of the index what
 * no point used yet, among it
 * what this session had found there, or had just entered. It has deleted none of it, as the session is live, but others could not
 * read the point. So the packs are entered again. */
#include "store/index_merge.h"
#include "store/internal.h"
#include "store/prune_internal.h"
#include <errno.h>
#include <string.h>

/* Whether the index in force names all that the point needs: 0, or -EUCLEAN. */
static int is_named(struct store *s, const struct point_data *point, struct err *err)
{
    _cleanup_mark_ struct mark mark = {0};
    int r = mark_new(s, NULL, &mark, err);

    return r < 0 ? r : mark_point(&mark, point, err);
}

static int add_named(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct names *x = priv;

    (void)at;
    if (x->n && memcmp(&x->list[x->n - 1], &e->at.pack, sizeof e->at.pack) == 0)
        return 0;
    if (x->n >= 65536 && (x->n & (x->n - 1)) == 0)
        names_sort(x);
    return names_add(x, &e->at.pack) < 0 ? err_errno(err, ENOMEM, "cannot keep track of the packs") : 0;
}

/* Packs that no index names are entered, but for those that were garbage before this session: they may be deleted at any time. */
static int adopt(struct store *s, struct err *err)
{
    _cleanup_names_ struct names packs = {0}, named = {0};
    _cleanup_garbage_ struct garbage garbage = {0};
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(s->index);
    int r = index_set_each(set, add_named, &named, err);

    names_sort(&named);
    if (r == 0)
        r = names_list(&s->env, "packs", &packs, err);
    if (r == 0)
        r = garbage_load(&s->env, &garbage, err);
    for (size_t i = 0; r == 0 && i < packs.n; i++) {
        const struct garbage_record *record = garbage_find(&garbage, &packs.list[i]);
        struct err why = ERR_INIT;
        if (names_has(&named, &packs.list[i]) || (record && !names_has(&record->sessions, session_name(s->session))))
            continue;
        if (prune_adopt_pack(s, &packs.list[i], &why) < 0) /* if the point needs it, that is seen in the end */
            log_warning(s->env.log, "%s", why.text);
    }
    return r == 0 ? index_save(s->index, err) : r;
}

int store_settle_index(struct store *s, const struct point_data *point, struct err *err)
{
    struct err why = ERR_INIT;
    int r = index_reload(s->index, NULL, err);

    if (r < 0 || index_merges(s->index) == s->merges)
        return r;
    r = is_named(s, point, &why);
    if (r != -EUCLEAN)
        return r < 0 ? err_move(err, &why) : 0;
    log_info(s->env.log, "a prune that ran meanwhile took chunks of the restore point out of the index; they are entered again");
    r = adopt(s, err);
    return r < 0 ? r : is_named(s, point, err);
}
