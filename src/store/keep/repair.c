/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new index from the packs. Chunks of damaged packs are left out: whoever still has them stores them again, and as ids come
 * from contents, that heals older points too. */
#include "base/par.h"
#include "store/index/index.h"
#include "store/handle/handle.h"
#include "store/object/object.h"
#include "store/pack/pack.h"
#include <errno.h>
#include <string.h>

struct repairing {
    struct store *store;
    struct index *index; /* the new one, empty at first */
    const struct par_cancel *cancel;
    bool read_data;
    struct store_repair_result result;
    /* the pack being read */
    struct buf footer;
    uint32_t segments;
    uint64_t chunks, lost;
};

static int repair_take(struct repairing *x, const struct footer_segment *s, const bool *bad)
{
    struct chunk_id ids[SEGMENT_CHUNKS];
    uint32_t lens[SEGMENT_CHUNKS];
    bool any_bad = false;

    for (unsigned i = 0; i < s->n; i++) {
        memcpy(ids[i].b, footer_chunk(s, i), CRYPT_ID_LEN);
        lens[i] = num_get_le32(footer_chunk(s, i) + CRYPT_ID_LEN);
        any_bad |= bad && bad[i];
        x->lost += bad && bad[i];
    }
    /* A footer tells whole segments, as ordinals count; one with a bad chunk fails as a whole anyway (it has one tag). */
    if (any_bad)
        return 0;
    x->segments++;
    x->chunks += s->n;
    return footer_add(&x->footer, s->off, s->len, s->n, ids, lens);
}

static int take_listed(void *priv, const struct footer_segment *s)
{
    return repair_take(priv, s, NULL);
}

static int take_checked(void *priv, const struct footer_segment *s, const bool *bad, const struct err *why)
{
    (void)why;
    return repair_take(priv, s, bad);
}

static int begin_pack(struct repairing *x)
{
    x->segments = 0;
    x->chunks = x->lost = 0;
    return footer_begin(&x->footer);
}

/* By its footer; or, if that is damaged, by what its frames still hold. */
static int read_pack(struct repairing *x, const struct object_name *name, struct err *err)
{
    struct env *env = &x->store->env;
    struct scan scan = { env, x->cancel, take_checked, x };
    struct err why = ERR_INIT;
    int r = begin_pack(x);

    if (r < 0)
        return err_errno(err, -r, "cannot read a pack");
    r = x->read_data ? scan_pack(&scan, name, &why) : pack_walk(env, name, take_listed, x, &why);
    if (r == -EUCLEAN || r == -EIO) {
        log_warning(env->log, "%s", why.text);
        x->result.packs_damaged++;
        r = begin_pack(x);
        return r < 0 ? err_errno(err, -r, "cannot read a pack") : scan_frames(env, name, take_listed, x, err);
    }
    x->result.packs_damaged += r == 0 && x->lost;
    return r < 0 ? err_move(err, &why) : 0;
}

static int repair_pack(struct repairing *x, const struct object_name *name, struct err *err)
{
    if (par_cancelled(x->cancel))
        return err_set(err, ECANCELED, "cancelled");
    int r = read_pack(x, name, err);
    if (r == -ENOENT)
        return 0;
    if (r == 0) {
        footer_end(&x->footer, x->segments);
        r = index_add_pack(x->index, name, &x->footer);
        if (r < 0)
            return err_errno(err, -r, "cannot create a new index");
        x->result.packs += x->segments > 0;
        x->result.chunks_lost += x->lost;
    }
    /* Memory stays bounded: the new index goes to files as it grows. */
    if (r == 0 && index_unsaved(x->index) >= INDEX_ENTRIES_MAX / 2)
        r = index_save(x->index, err);
    return r;
}

/* Sets the new index in place of all index files that were there when `old` was loaded, the damaged ones too. */
static int repair_replace(struct repairing *x, struct index_set *old, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *made = NULL;
    struct names all = { 0 };
    int r = index_save(x->index, err);

    if (r < 0)
        return r;
    _cleanup_(index_set_unref_p) struct index_set *mine = index_set_get(x->index);
    r = index_set_copy(mine, &made, err);
    for (size_t i = 0; r == 0 && i < old->present_n; i++)
        r = names_add(&all, &old->present[i]);
    for (size_t i = 0; r == 0 && i < made->n; i++)
        r = names_add(&all, &made->tables[i]->name);
    if (r < 0) {
        names_free(&all);
        return err_nomem(err);
    }
    made->present = all.list;
    made->present_n = all.n;
    return index_merge(&(struct index_merge){ .env = &x->store->env, .set = made }, &x->result.chunks, err);
}

static int repair_run(struct repairing *x, struct err *err)
{
    _cleanup_names_ struct names packs = { 0 };
    int r = index_reload(x->store->index, NULL, err);

    if (r == 0)
        r = names_list(&x->store->env, "packs", &packs, err);
    if (r == 0)
        r = index_new(&x->store->env, &x->index, err);
    _cleanup_(index_set_unref_p) struct index_set *old = index_set_get(x->store->index);
    for (size_t i = 0; r == 0 && i < packs.n; i++)
        r = repair_pack(x, &packs.list[i], err);
    if (r == 0)
        r = repair_replace(x, old, err);
    return r == 0 ? index_reload(x->store->index, NULL, err) : r;
}

int store_repair_index(struct store *s, bool read_data, const struct par_cancel *cancel, struct store_repair_result *ret, struct err *err)
{
    struct repairing x = { .store = s, .read_data = read_data, .cancel = cancel };
    struct lock_session *session = NULL;
    int r = store_begin(s, LOCK_MAINTENANCE, "repair index", &session, err);

    if (r == 0)
        r = repair_run(&x, err);
    session_end(session);
    index_free(x.index);
    buf_free(&x.footer);
    if (r == 0)
        *ret = x.result;
    return r;
}
