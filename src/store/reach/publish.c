/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A point that is about to be there, or just is, and the index. A prune that ran beside the session took out of the index what
 * no point used yet, among it
 * what this session had found there, or had just entered. It has deleted none of it, as the session is live, but others could not
 * read the point. So the packs are entered again. */
#include "base/num.h"
#include "store/garbage/garbage.h"
#include "store/index/index.h"
#include "store/object/object.h"
#include "store/reach/mark.h"
#include "store/reach/publish.h"
#include <errno.h>
#include <string.h>

/* Whether the index in force names all that the point needs: 0, or -EUCLEAN. */
static int publish_is_named(struct store *s, const struct point_data *point, struct err *err)
{
    _cleanup_mark_ struct mark mark = { 0 };
    int r = mark_new(s, NULL, &mark, err);

    return r < 0 ? r : mark_point(&mark, point, err);
}

/* Packs that no index names are entered, but for those that were garbage before this session: they may be deleted at any time. */
static int publish_adopt(struct store *s, struct err *err)
{
    _cleanup_names_ struct names packs = { 0 }, named = { 0 };
    _cleanup_garbage_ struct garbage garbage = { 0 };
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(s->index);
    int r = index_set_packs(set, &named, err);

    if (r == 0)
        r = names_list(&s->env, "packs", &packs, err);
    if (r == 0)
        r = garbage_load(&s->env, &garbage, err);
    for (size_t i = 0; r == 0 && i < packs.n; i++) {
        const struct garbage_record *record = garbage_find(&garbage, &packs.list[i]);
        struct err why = ERR_INIT;
        if (names_has(&named, &packs.list[i]) || (record && !names_has(&record->sessions, session_name(s->session))))
            continue;
        if (store_adopt_pack(s, &packs.list[i], &why) < 0) /* if the point needs it, that is seen in the end */
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
    r = publish_is_named(s, point, &why);
    if (r != -EUCLEAN)
        return r < 0 ? err_move(err, &why) : 0;
    log_info(s->env.log, "a concurrent prune removed chunks of the restore point from the index; they are added again");
    r = publish_adopt(s, err);
    return r < 0 ? r : publish_is_named(s, point, err);
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

int store_adopt_pack(struct store *s, const struct object_name *pack, struct err *err)
{
    struct adopting a = { .index = s->index, .pack = pack };
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
