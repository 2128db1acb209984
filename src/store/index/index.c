/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/index/index.h"
#include "store/index/fresh.h"
#include "store/index/index_set.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>

struct index {
    struct env *env;
    pthread_rwlock_t sets; /* set */
    struct index_set *set;
    atomic_size_t budget;
    pthread_mutex_t lock; /* fresh */
    struct fresh fresh;
    pthread_mutex_t saving; /* one save or reload at a time */
    atomic_uint merges;
    bool looking; /* with `saving` held, as the next */
    struct packs there;
    atomic_uint_least64_t again;
};

#define SAVE_TRIES 5
/* Opened index blocks kept in memory: enough for 85 GiB of chunks; beyond that a lookup costs a read. */
#define INDEX_BUDGET ((size_t)64 << 20)

int index_new(struct env *env, struct index **ret, struct err *err)
{
    struct index *ix = calloc(1, sizeof *ix);

    if (!ix)
        return err_nomem(err);
    ix->env = env;
    ix->budget = INDEX_BUDGET;
    pthread_rwlock_init(&ix->sets, NULL);
    pthread_mutex_init(&ix->lock, NULL);
    pthread_mutex_init(&ix->saving, NULL);
    int r = index_set_new(&ix->set, err);
    if (r < 0) {
        index_free(ix);
        return r;
    }
    *ret = ix;
    return 0;
}

void index_free(struct index *ix)
{
    if (!ix)
        return;
    index_set_unref(ix->set);
    fresh_free(&ix->fresh);
    packs_free(&ix->there);
    pthread_rwlock_destroy(&ix->sets);
    pthread_mutex_destroy(&ix->lock);
    pthread_mutex_destroy(&ix->saving);
    free(ix);
}

struct index_set *index_set_get(struct index *ix)
{
    pthread_rwlock_rdlock(&ix->sets);
    struct index_set *set = index_set_ref(ix->set);
    pthread_rwlock_unlock(&ix->sets);
    return set;
}

static void set_replace(struct index *ix, struct index_set *set)
{
    pthread_rwlock_wrlock(&ix->sets);
    struct index_set *old = ix->set;
    ix->set = set;
    pthread_rwlock_unlock(&ix->sets);
    index_set_unref(old);
}

/* Tables that stand in the place of others and were not known before. */
static unsigned new_merges(const struct index_set *set, const struct index_set *old)
{
    unsigned n = 0;

    for (size_t i = 0; i < set->n; i++) {
        bool known = set->tables[i]->top.superseded == 0;
        for (size_t k = 0; k < old->n && !known; k++)
            known = memcmp(&old->tables[k]->name, &set->tables[i]->name, sizeof set->tables[i]->name) == 0;
        n += !known;
    }
    return n;
}

unsigned index_merges(struct index *ix)
{
    return atomic_load(&ix->merges);
}

int index_reload(struct index *ix, size_t *ret_bad, struct err *err)
{
    struct index_set *set;

    SCOPED_LOCK(&ix->saving);
    _cleanup_(index_set_unref_p) struct index_set *old = index_set_get(ix);
    int r = index_set_load(ix->env, &ix->budget, old, &set, ret_bad, err);
    if (r == 0 && ix->looking) {
        r = index_set_look(set, ix->env, &ix->there, err);
        if (r < 0)
            index_set_unref(set);
    }
    if (r == 0) {
        atomic_fetch_add(&ix->merges, new_merges(set, old));
        set_replace(ix, set);
    }
    return r;
}

int index_look(struct index *ix, struct err *err)
{
    struct packs there = { 0 };
    int r = packs_list(ix->env, &there, err);

    if (r < 0)
        return r;
    SCOPED_LOCK(&ix->saving);
    packs_free(&ix->there);
    ix->there = there;
    ix->looking = true;
    return 0;
}

uint64_t index_claimed_again(struct index *ix)
{
    return atomic_load(&ix->again);
}

static int find_fresh(struct index *ix, const struct chunk_id *id, struct location *ret)
{
    SCOPED_LOCK(&ix->lock);
    const struct index_entry *e = fresh_find(&ix->fresh, id);
    if (!e)
        return 0;
    if (e->at.chunk_len == 0)
        return -EINPROGRESS;
    if (ret)
        *ret = e->at;
    return 1;
}

int index_find(struct index *ix, const struct chunk_id *id, struct location *ret, struct err *err)
{
    int r = find_fresh(ix, id, ret);

    for (unsigned tries = 0; r == 0; tries++) {
        _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(ix);
        r = index_set_find(set, id, ret, NULL, err);
        /* An index file may have been merged away by another host; the new one tells all that still holds. */
        if (r != -ENOENT || tries >= 3)
            return r;
        r = index_reload(ix, NULL, err);
    }
    return r;
}

int index_find_next(struct index *ix, const struct chunk_id *id, size_t *seen, struct location *ret, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(ix);

    return index_set_find_next(set, id, seen, ret, err);
}

/* What is only in lost packs is stored again, also where a pack that was cut short still has it. */
static bool again(struct index *ix, const struct chunk_id *id, int found, const struct location *at)
{
    _cleanup_(index_set_unref_p) struct index_set *set = index_set_get(ix);
    struct location lost;
    size_t seen = 0;

    if (!set->lost || (found ? !lost_packs_names(set->lost, &at->pack) : index_set_find_next(set, id, &seen, &lost, NULL) <= 0))
        return false;
    atomic_fetch_add(&ix->again, 1);
    return true;
}

int index_claim(struct index *ix, const struct chunk_id *id, struct err *err)
{
    struct location at;
    int r = index_find(ix, id, &at, err);

    if (r < 0)
        return r == -EINPROGRESS ? 0 : r;
    if (!again(ix, id, r, &at) && r > 0)
        return 0;
    SCOPED_LOCK(&ix->lock);
    r = fresh_add(&ix->fresh, id);
    return r < 0 ? err_errno(err, -r, "cannot keep track of new chunks") : r;
}

struct index_adding {
    struct index *ix;
    const struct object_name *pack;
};

static int add_segment(void *priv, const struct footer_segment *s)
{
    struct index_adding *a = priv;
    struct fresh *f = &a->ix->fresh;

    for (unsigned i = 0; i < s->n; i++) {
        const uint8_t *p = footer_chunk(s, i);
        struct chunk_id id;
        memcpy(id.b, p, sizeof id.b);
        struct index_entry *e = fresh_find(f, &id);
        if (!e && fresh_add(f, &id) < 0)
            return -ENOMEM;
        e = e ? e : fresh_find(f, &id);
        f->durable += e->at.chunk_len == 0;
        e->at = (struct location){ *a->pack, s->off, s->len, num_get_le32(p + CRYPT_ID_LEN), (uint8_t)i };
    }
    return 0;
}

int index_add_pack(struct index *ix, const struct object_name *pack, const struct buf *footer)
{
    SCOPED_LOCK(&ix->lock);
    return footer_parse(footer->data, footer->len, PACK_SIZE_MAX, add_segment, &(struct index_adding){ ix, pack });
}

size_t index_unsaved(struct index *ix)
{
    SCOPED_LOCK(&ix->lock);
    return ix->fresh.durable;
}

/* Copies out the durable entries, sorted. */
static int durable_entries(struct index *ix, struct index_entry **ret, size_t *ret_n)
{
    SCOPED_LOCK(&ix->lock);
    struct index_entry *list = calloc(ix->fresh.durable + 1, sizeof *list);
    size_t n = 0;
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < ix->fresh.count; i++)
        if (ix->fresh.entries[i].at.chunk_len)
            list[n++] = ix->fresh.entries[i];
    qsort(list, n, sizeof *list, index_entry_compare);
    *ret = list;
    *ret_n = n;
    return 0;
}

static int add_table(struct index *ix, const struct index_entry *entries, size_t n, bool suppose, struct index_set *set, struct err *err)
{
    struct index_file f = { .bytes = BUF_INIT };
    int r =
        suppose ? index_table_make(ix->env, entries, n, NULL, 0, &f, err) : index_table_write(ix->env, entries, n, NULL, 0, &f.name, err);

    return r < 0 ? r : index_set_add_file(set, ix->env, &f, &ix->budget, err);
}

/* Makes files of bounded size of the entries and opens these, added to a copy of the present set. */
static int make_tables(struct index *ix, const struct index_entry *entries, size_t n, bool suppose, struct index_set **ret, struct err *err)
{
    _cleanup_(index_set_unref_p) struct index_set *old = index_set_get(ix), *set = NULL;
    int r = index_set_copy(old, &set, err);

    for (size_t done = 0; r == 0 && done < n;) {
        size_t step = num_min(n - done, INDEX_ENTRIES_MAX);
        r = add_table(ix, entries + done, step, suppose, set, err);
        done += step;
    }
    if (r == 0)
        *ret = TAKE_PTR(set);
    return r;
}

static int save(struct index *ix, bool suppose, struct err *err)
{
    _cleanup_free_ struct index_entry *entries = NULL;
    struct index_set *set = NULL;
    size_t n;

    SCOPED_LOCK(&ix->saving);
    int r = durable_entries(ix, &entries, &n);
    if (r < 0)
        return err_errno(err, -r, "cannot write the index");
    if (n == 0)
        return 0;
    /* -ENOENT: a prune of another host has merged a file away that was not even opened again yet. It may have left out what no point
     * uses, so all is written once more. */
    r = -ENOENT;
    for (unsigned tries = 0; r == -ENOENT && tries < SAVE_TRIES; tries++)
        r = make_tables(ix, entries, n, suppose, &set, err);
    if (r < 0)
        return r;
    /* The tables are visible before the entries in memory go, so no lookup misses a chunk. */
    set_replace(ix, set);
    pthread_mutex_lock(&ix->lock);
    fresh_drop(&ix->fresh, entries, n);
    pthread_mutex_unlock(&ix->lock);
    return 0;
}

int index_save(struct index *ix, struct err *err)
{
    return save(ix, false, err);
}

int index_suppose(struct index *ix, struct err *err)
{
    return save(ix, true, err);
}

int index_unsaved_list(struct index *ix, struct index_entry **ret, size_t *ret_n, struct err *err)
{
    int r = durable_entries(ix, ret, ret_n);

    return r < 0 ? err_errno(err, -r, "cannot write the index") : 0;
}

void index_saved(struct index *ix, const struct index_entry *list, size_t n)
{
    SCOPED_LOCK(&ix->lock);
    fresh_drop(&ix->fresh, list, n);
}

void index_forget_unsaved(struct index *ix)
{
    SCOPED_LOCK(&ix->lock);
    fresh_free(&ix->fresh);
}
