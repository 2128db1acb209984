/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the chains say together: which restore points are to be there, and what of the chains themselves is missing. */
#include "store/catalogue/catalogue.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Points -------------------------------------------------------------------------------------------------------------------------*/

static int by_point(const void *a, const void *b)
{
    const struct catalogue_saying *x = a, *y = b;
    int point = memcmp(&x->op.point, &y->op.point, sizeof x->op.point);

    if (point != 0)
        return point;
    if (x->chain != y->chain)
        return x->chain < y->chain ? -1 : 1;
    return x->op.n != y->op.n ? (x->op.n > y->op.n ? -1 : 1) : 0;
}

int catalogue_sayings(const struct store_catalogue *c, struct catalogue_saying **ret, size_t *ret_n)
{
    size_t total = 0, n = 0, used = 0;

    for (size_t i = 0; i < c->n; i++)
        total += c->entries[i]->n_ops;
    struct catalogue_saying *list = calloc(total + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    for (size_t k = 0; k < c->n_hosts; k++)
        for (size_t i = 0; i < c->chains[k].n; i++) {
            const struct catalogue_entry *e = c->entries[c->chains[k].first + i];
            for (size_t j = 0; e->seq >= c->chains[k].since && j < e->n_ops; j++)
                list[n++] = (struct catalogue_saying){ e->ops[j], k };
        }
    qsort(list, n, sizeof *list, by_point);
    for (size_t i = 0; i < n; i++)
        if (used == 0 || memcmp(&list[used - 1].op.point, &list[i].op.point, sizeof list[i].op.point) != 0 ||
            list[used - 1].chain != list[i].chain)
            list[used++] = list[i];
    *ret = list;
    *ret_n = used;
    return 0;
}

/* Of all sayings about one point the largest number holds. */
static int merge(struct store_catalogue *c)
{
    _cleanup_free_ struct catalogue_saying *list = NULL;
    size_t n = 0, used = 0;
    int r = catalogue_sayings(c, &list, &n);
    struct store_signed_point *points = r == 0 ? calloc(n + 1, sizeof *points) : NULL;

    if (!points)
        return -ENOMEM;
    for (size_t i = 0, end; i < n; i = end) {
        const struct catalogue_saying *best = NULL;
        for (end = i; end < n && memcmp(&list[i].op.point, &list[end].op.point, sizeof list[i].op.point) == 0; end++)
            if (!c->hosts[list[end].chain].ignored && (!best || list[end].op.n > best->op.n))
                best = &list[end];
        if (!best)
            continue;
        crypt_hex(best->op.point.b, sizeof best->op.point.b, points[used].id);
        points[used].n = best->op.n;
        points[used++].host = c->hosts[best->chain].name;
        c->hosts[best->chain].points += best->op.n % 2;
    }
    free(c->points);
    c->points = points;
    c->n_points = used;
    return 0;
}

static int compare_points(const void *a, const void *b)
{
    return strcmp(a, ((const struct store_signed_point *)b)->id);
}

const struct store_signed_point *store_catalogue_points(const struct store_catalogue *c, size_t *ret_n)
{
    *ret_n = c->n_points;
    return c->points;
}

const struct store_signed_point *store_catalogue_find(const struct store_catalogue *c, const char *id)
{
    return c->n_points ? bsearch(id, c->points, c->n_points, sizeof *c->points, compare_points) : NULL;
}

/* ---- What is missing ----------------------------------------------------------------------------------------------------------------*/

/* Somebody has seen an entry. */
struct judge_claim {
    char key[STORE_HOST_KEY_LEN + 1];
    uint64_t seq;
    struct chunk_id id;
    const char *by;
};

static uint64_t waived(const struct store_catalogue *c, const char *key)
{
    for (size_t i = 0; i < c->n_heads; i++)
        if (strcmp(c->heads[i].key, key) == 0)
            return c->heads[i].waived;
    return 0;
}

static int add_cut(struct store_catalogue *c, const struct judge_claim *claim, size_t chain)
{
    struct store_cut *cut = NULL;

    for (size_t i = 0; i < c->n_cuts && !cut; i++)
        cut = strcmp(c->cuts[i].key, claim->key) == 0 ? &c->cuts[i] : NULL;
    if (cut && cut->seq >= claim->seq)
        return 0;
    if (!cut) {
        struct store_cut *cuts = reallocarray(c->cuts, c->n_cuts + 1, sizeof *cuts);
        if (!cuts)
            return -ENOMEM;
        c->cuts = cuts;
        cut = &cuts[c->n_cuts++];
    }
    *cut = (struct store_cut){ .seq = claim->seq };
    memcpy(cut->key, claim->key, sizeof cut->key);
    snprintf(cut->by, sizeof cut->by, "%s", claim->by);
    if (chain < c->n_hosts) {
        cut->have = c->hosts[chain].seq;
        snprintf(cut->name, sizeof cut->name, "%s", c->hosts[chain].name);
    }
    return 0;
}

/* What a base has replaced need not be there. */
static int examine(struct store_catalogue *c, const struct judge_claim *claim)
{
    size_t i = catalogue_find_chain(c, claim->key);

    if (claim->seq == 0 || claim->seq <= waived(c, claim->key) || (i < c->n_hosts && c->hosts[i].ignored))
        return 0;
    if (i < c->n_hosts && claim->seq <= c->hosts[i].seq && (claim->seq < c->chains[i].since || catalogue_find_entry(c, &claim->id)))
        return 0;
    return add_cut(c, claim, i);
}

static int examine_seen(struct store_catalogue *c, size_t chain)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->chains[chain].n; i++) {
        const struct catalogue_entry *e = c->entries[c->chains[chain].first + i];
        for (size_t k = 0; r == 0 && k < e->n_seen; k++) {
            struct judge_claim claim = { .seq = e->seen[k].seq, .id = e->seen[k].head, .by = c->hosts[chain].name };
            crypt_hex(e->seen[k].key, sizeof e->seen[k].key, claim.key);
            r = examine(c, &claim);
        }
    }
    return r;
}

static int examine_all(struct store_catalogue *c)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->n_heads; i++) {
        struct judge_claim claim = { .seq = c->heads[i].seq, .by = "" };
        memcpy(claim.key, c->heads[i].key, sizeof claim.key);
        if (crypt_unhex(c->heads[i].id, claim.id.b, sizeof claim.id.b))
            r = examine(c, &claim);
    }
    for (size_t i = 0; r == 0 && i < c->n_hosts; i++) {
        struct judge_claim hole = { .seq = c->chains[i].hole ? c->chains[i].hole - 1 : 0, .by = c->hosts[i].name };
        if (c->hosts[i].ignored)
            continue;
        memcpy(hole.key, c->hosts[i].key, sizeof hole.key);
        if (hole.seq > waived(c, hole.key))
            r = add_cut(c, &hole, i);
        if (r == 0)
            r = examine_seen(c, i);
    }
    return r;
}

uint64_t catalogue_claimed(const struct store_catalogue *c, const char *key)
{
    uint8_t wanted[CRYPT_PUBLIC_LEN];
    uint64_t seq = 0;

    for (size_t i = 0; i < c->n_heads; i++)
        if (strcmp(c->heads[i].key, key) == 0 && c->heads[i].seq > seq)
            seq = c->heads[i].seq;
    for (size_t i = 0; crypt_unhex(key, wanted, sizeof wanted) && i < c->n; i++)
        for (size_t k = 0; k < c->entries[i]->n_seen; k++) {
            const struct catalogue_seen *x = &c->entries[i]->seen[k];
            if (memcmp(x->key, wanted, sizeof wanted) == 0 && x->seq > seq)
                seq = x->seq;
        }
    return seq;
}

int store_catalogue_judge(struct store_catalogue *c, struct err *err)
{
    free(c->cuts);
    c->cuts = NULL;
    c->n_cuts = 0;
    for (size_t i = 0; i < c->n_hosts; i++)
        c->hosts[i].points = 0;
    int r = merge(c);
    if (r == 0)
        r = examine_all(c);
    return r < 0 ? err_errno(err, -r, "cannot read the catalogue") : 0;
}

const struct store_cut *store_catalogue_cuts(const struct store_catalogue *c, size_t *ret_n)
{
    *ret_n = c->n_cuts;
    return c->cuts;
}
