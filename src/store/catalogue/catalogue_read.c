/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the entries of all hosts, checking who they are by, and cutting them into chains. */
#include "store/catalogue/catalogue.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TRIES 3 /* entries that are replaced by a base while they are read */

void store_catalogue_free(struct store_catalogue *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        catalogue_entry_free(c->entries[i]);
    free(c->entries);
    free(c->by_id);
    free(c->junk);
    free(c->heads);
    free(c->chains);
    free(c->hosts);
    free(c->cuts);
    free(c->points);
    free(c);
}

/* ---- Finding ------------------------------------------------------------------------------------------------------------------------*/

static int by_id(const void *a, const void *b)
{
    const struct catalogue_entry *const *x = a, *const *y = b;

    return memcmp(&(*x)->id, &(*y)->id, sizeof(*x)->id);
}

static int by_place(const void *a, const void *b)
{
    const struct catalogue_entry *const *x = a, *const *y = b;
    int key = memcmp((*x)->key, (*y)->key, sizeof(*x)->key);

    if (key != 0)
        return key;
    return (*x)->seq != (*y)->seq ? ((*x)->seq < (*y)->seq ? -1 : 1) : by_id(a, b);
}

const struct catalogue_entry *catalogue_find_entry(const struct store_catalogue *c, const struct chunk_id *id)
{
    struct catalogue_entry key = { .id = *id }, *const wanted = &key, **found;

    found = c->n ? bsearch(&wanted, c->by_id, c->n, sizeof(struct catalogue_entry *), by_id) : NULL;
    return found ? *found : NULL;
}

size_t catalogue_find_chain(const struct store_catalogue *c, const char *key)
{
    size_t i = 0;

    while (i < c->n_hosts && strcmp(c->hosts[i].key, key) != 0)
        i++;
    return i;
}

/* ---- Chains -------------------------------------------------------------------------------------------------------------------------*/

/* Whether what stands before the entry is missing: it is not there, or the entry names none. */
static bool lacks_prev(const struct store_catalogue *c, const struct catalogue_chain *x, const struct catalogue_entry *e)
{
    if (e->seq <= x->since || e->seq == 1)
        return false;
    const struct catalogue_entry *prev = e->has_prev ? catalogue_find_entry(c, &e->prev) : NULL;
    return !prev || memcmp(prev->key, e->key, sizeof e->key) != 0 || prev->seq >= e->seq;
}

static void describe(const struct store_catalogue *c, struct catalogue_chain *x, struct store_host *h)
{
    const struct catalogue_entry *head = c->entries[x->first + x->n - 1], *last = NULL;

    crypt_hex(head->key, sizeof head->key, h->key);
    crypt_hex(head->id.b, sizeof head->id.b, h->head);
    snprintf(h->name, sizeof h->name, "%s", head->host);
    h->seq = head->seq;
    h->time_us = head->time_us;
    for (size_t i = x->n; i-- > 0 && !x->since;)
        x->since = c->entries[x->first + i]->since;
    for (size_t i = 0; i < x->n; i++) {
        const struct catalogue_entry *e = c->entries[x->first + i];
        if (e->seq < x->since)
            continue;
        h->entries++;
        h->forked |= last && last->seq == e->seq;
        if (lacks_prev(c, x, e))
            x->hole = e->seq;
        last = e;
    }
    h->broken = x->hole != 0;
}

static bool is_remembered(const struct store_catalogue *c, const char *key)
{
    for (size_t i = 0; i < c->n_heads; i++)
        if (strcmp(c->heads[i].key, key) == 0)
            return true;
    return false;
}

/* Whoever has an older master key could make up a host. So a chain counts if something of it is of the newest epoch that there is, or was
 * seen by such an entry, or is remembered. */
static void anchor(struct store_catalogue *c)
{
    unsigned newest = 0;
    char key[STORE_HOST_KEY_LEN + 1];

    for (size_t i = 0; i < c->n; i++)
        newest = c->entries[i]->epoch > newest ? c->entries[i]->epoch : newest;
    for (size_t k = 0; newest && k < c->n_hosts; k++)
        c->hosts[k].outdated = !is_remembered(c, c->hosts[k].key);
    for (size_t i = 0; newest && i < c->n; i++) {
        const struct catalogue_entry *e = c->entries[i];
        if (e->epoch < newest)
            continue;
        size_t own = catalogue_find_chain(c, crypt_hex(e->key, sizeof e->key, key));
        c->hosts[own].outdated = false;
        for (size_t j = 0; j < e->n_seen; j++) {
            size_t seen = catalogue_find_chain(c, crypt_hex(e->seen[j].key, sizeof e->seen[j].key, key));
            if (seen < c->n_hosts)
                c->hosts[seen].outdated = false;
        }
    }
    for (size_t k = 0; k < c->n_hosts; k++)
        c->hosts[k].ignored |= c->hosts[k].outdated;
}

static bool was_ignored(const struct store_catalogue *c, const char *key, bool otherwise)
{
    size_t i = catalogue_find_chain(c, key);

    return i < c->n_hosts ? c->hosts[i].ignored : otherwise;
}

int catalogue_sort(struct store_catalogue *c, bool ignore_new)
{
    struct catalogue_chain *chains = calloc(CATALOGUE_HOSTS_MAX, sizeof *chains);
    struct store_host *hosts = calloc(CATALOGUE_HOSTS_MAX, sizeof *hosts);
    size_t n = 0;
    int r = chains && hosts ? 0 : -ENOMEM;

    if (c->n) {
        qsort(c->entries, c->n, sizeof *c->entries, by_place);
        memcpy(c->by_id, c->entries, c->n * sizeof *c->by_id);
        qsort(c->by_id, c->n, sizeof *c->by_id, by_id);
    }
    for (size_t i = 0; r == 0 && i < c->n; i += chains[n++].n) {
        if (n == CATALOGUE_HOSTS_MAX) {
            r = -E2BIG;
            break;
        }
        chains[n].first = i;
        while (i + chains[n].n < c->n && memcmp(c->entries[i]->key, c->entries[i + chains[n].n]->key, CRYPT_PUBLIC_LEN) == 0)
            chains[n].n++;
        describe(c, &chains[n], &hosts[n]);
        hosts[n].ignored = was_ignored(c, hosts[n].key, ignore_new);
    }
    if (r < 0) {
        free(chains);
        free(hosts);
        return r;
    }
    free(c->chains);
    free(c->hosts);
    c->chains = chains;
    c->hosts = hosts;
    c->n_hosts = n;
    anchor(c);
    return 0;
}

/* ---- Loading ------------------------------------------------------------------------------------------------------------------------*/

int catalogue_append(struct store_catalogue *c, struct catalogue_entry *e)
{
    if ((c->n & (c->n - 1)) == 0) {
        size_t room = c->n ? 2 * c->n : 1;
        struct catalogue_entry **entries = reallocarray(c->entries, room, sizeof(struct catalogue_entry *));
        c->entries = entries ? entries : c->entries;
        struct catalogue_entry **ids = reallocarray(c->by_id, room, sizeof(struct catalogue_entry *));
        c->by_id = ids ? ids : c->by_id;
        if (!entries || !ids)
            return -ENOMEM;
    }
    c->entries[c->n++] = e;
    return 0;
}

static bool is_junk(const struct store_catalogue *c, const struct chunk_id *id)
{
    for (size_t i = 0; i < c->n_junk; i++)
        if (memcmp(&c->junk[i], id, sizeof *id) == 0)
            return true;
    return false;
}

static int add_junk(struct store_catalogue *c, const struct chunk_id *id)
{
    struct chunk_id *junk = reallocarray(c->junk, c->n_junk + 1, sizeof *junk);

    if (!junk)
        return -ENOMEM;
    c->junk = junk;
    junk[c->n_junk++] = *id;
    return 0;
}

struct loading {
    struct store *s;
    struct store_catalogue *c;
    struct chunk_id *ids;
    struct catalogue_entry **entries; /* NULL: it could not be read */
    bool *gone;
};

static int read_load_one(void *ctx, size_t i, struct err *err)
{
    struct loading *x = ctx;
    struct catalogue_entry *e = calloc(1, sizeof *e);

    if (!e)
        return err_nomem(err);
    int r = catalogue_get(x->s, &x->ids[i], e, err);
    if (r == 0 && __atomic_add_fetch(&x->c->bytes, e->text.len, __ATOMIC_SEQ_CST) > CATALOGUE_LOADED_MAX)
        r = err_set(err, E2BIG, "the catalogue is too large");
    if (r == 0) {
        x->entries[i] = e;
        return 0;
    }
    catalogue_entry_free(e);
    x->gone[i] = r == -ENOENT;
    return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

/* Ids of objects that were not looked at yet, to the front. */
static size_t read_unknown(const struct store_catalogue *c, struct chunk_id *ids, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++)
        if (!catalogue_find_entry(c, &ids[i]) && !is_junk(c, &ids[i]))
            ids[used++] = ids[i];
    return used;
}

static int read_take_over(struct loading *x, size_t n, bool *ret_gone)
{
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        *ret_gone |= x->gone[i];
        if (r == 0 && x->entries[i])
            r = catalogue_append(x->c, x->entries[i]);
        else if (r == 0 && !x->gone[i])
            r = add_junk(x->c, &x->ids[i]);
        if (r < 0)
            catalogue_entry_free(x->entries[i]);
    }
    return r;
}

/* *ret_n: how many entries were added; *ret_gone: some were deleted meanwhile, so something else has taken their place. */
static int read_load(struct store *s, struct store_catalogue *c, size_t *ret_n, bool *ret_gone, struct err *err)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    size_t n = 0, before = c->n;
    int r = catalogue_list(s, &ids, &n, err);

    if (r < 0)
        return r;
    n = read_unknown(c, ids, n);
    _cleanup_free_ struct catalogue_entry **entries = calloc(n + 1, sizeof(struct catalogue_entry *));
    _cleanup_free_ bool *gone = calloc(n + 1, sizeof *gone);
    struct loading x = { s, c, ids, entries, gone };
    if (!entries || !gone)
        return err_nomem(err);
    r = n ? pool_split(s->env.pool, n, read_load_one, &x, err) : 0;
    if (r < 0) {
        for (size_t i = 0; i < n; i++)
            catalogue_entry_free(entries[i]);
        return r;
    }
    r = read_take_over(&x, n, ret_gone);
    *ret_n = c->n - before;
    return r < 0 ? err_errno(err, -r, "cannot read the catalogue") : 0;
}

/* ---- Who they are by ----------------------------------------------------------------------------------------------------------------*/

/* Each entry names the one before by its hash: what leads back from one that was checked need not be checked again. */
static void trust_known(struct store_catalogue *c)
{
    struct chunk_id id;

    for (size_t i = 0; i < c->n_heads; i++) {
        if (!crypt_unhex(c->heads[i].id, id.b, sizeof id.b))
            continue;
        struct catalogue_entry *e = (struct catalogue_entry *)catalogue_find_entry(c, &id);
        while (e && !e->checked) {
            e->checked = true;
            e = e->has_prev ? (struct catalogue_entry *)catalogue_find_entry(c, &e->prev) : NULL;
        }
    }
}

struct checks {
    struct store_catalogue *c;
    bool *bad;
};

static int read_check_one(void *ctx, size_t i, struct err *err)
{
    struct checks *x = ctx;

    (void)err;
    x->bad[i] = catalogue_check(x->c->entries[i]) < 0;
    return 0;
}

/* Those with a wrong signature are no entries. */
static int check_all(struct store *s, struct store_catalogue *c, struct err *err)
{
    _cleanup_free_ bool *bad = calloc(c->n + 1, sizeof *bad);
    struct checks x = { c, bad };
    size_t used = 0;
    int r = bad ? 0 : -ENOMEM;

    if (r == 0)
        trust_known(c);
    if (r == 0 && c->n)
        r = pool_split(s->env.pool, c->n, read_check_one, &x, err);
    for (size_t i = 0; r == 0 && i < c->n; i++) {
        if (!bad[i]) {
            c->entries[used++] = c->entries[i];
        } else {
            r = add_junk(c, &c->entries[i]->id);
            catalogue_entry_free(c->entries[i]);
        }
    }
    if (r == 0 && used < c->n) { /* the capacity follows from n */
        size_t room = 1;
        while (room < used)
            room *= 2;
        c->n = used;
        struct catalogue_entry **entries = reallocarray(c->entries, room, sizeof(struct catalogue_entry *));
        struct catalogue_entry **ids = reallocarray(c->by_id, room, sizeof(struct catalogue_entry *));
        c->entries = entries ? entries : c->entries;
        c->by_id = ids ? ids : c->by_id;
    }
    return r < 0 ? err_errno(err, -r, "cannot check the catalogue") : 0;
}

static int read_new(struct store *s, struct store_catalogue *c, bool ignore_new, struct err *err)
{
    size_t added = 0, n = 0;
    bool gone = true;
    int r = 0;

    for (unsigned i = 0; r == 0 && gone && i < TRIES; i++) {
        gone = false;
        r = read_load(s, c, &n, &gone, err);
        added += r == 0 ? n : 0;
        if (r == 0 && (r = catalogue_sort(c, ignore_new)) < 0)
            r = err_set(err, -r, r == -E2BIG ? "more hosts than %u have signed the catalogue" : "out of memory", CATALOGUE_HOSTS_MAX);
    }
    if (r == 0 && added)
        r = check_all(s, c, err);
    if (r == 0 && added && (r = catalogue_sort(c, ignore_new)) < 0)
        r = err_errno(err, -r, "cannot read the catalogue");
    return r < 0 ? r : added > 0;
}

int store_catalogue_read(struct store *s, const struct store_head *heads, size_t n, struct store_catalogue **ret, struct err *err)
{
    struct store_catalogue *c = calloc(1, sizeof *c);
    int r = -ENOMEM;

    if (c && (c->heads = calloc(n + 1, sizeof *c->heads))) {
        if (n)
            memcpy(c->heads, heads, n * sizeof *heads);
        c->n_heads = n;
        r = read_new(s, c, false, err);
    } else {
        err_nomem(err);
    }
    if (r < 0) {
        store_catalogue_free(c);
        return r == -E2BIG ? err_context(err, "cannot read the catalogue") : r;
    }
    *ret = c;
    return 0;
}

int store_catalogue_refresh(struct store *s, struct store_catalogue *c, struct err *err)
{
    int r = read_new(s, c, true, err);

    if (r <= 0)
        return r;
    r = store_catalogue_judge(c, err);
    return r < 0 ? r : 1;
}

struct store_host *store_catalogue_hosts(struct store_catalogue *c, size_t *ret_n)
{
    *ret_n = c->n_hosts;
    return c->hosts;
}

size_t store_catalogue_unreadable(const struct store_catalogue *c)
{
    return c->n_junk;
}
