/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adding to a chain. An entry is durable before anything is deleted, so a crash leaves at most entries that a base has replaced, which
 * nobody reads and the next who tidies up deletes. */
#include "base/clock.h"
#include "store/catalogue/catalogue.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct write_adding {
    struct store *s;
    struct store_catalogue *c;
    const struct store_catalogue_add *add;
    struct catalogue_op *ops; /* to be said */
    size_t n;
    uint64_t seq; /* of the newest entry; 0: none */
    bool has_head;
    struct chunk_id head; /* its id */
};

/* ---- What to say --------------------------------------------------------------------------------------------------------------------*/

static int add_op(struct write_adding *a, const char *id, bool stands)
{
    const struct store_signed_point *p = store_catalogue_find(a->c, id);
    uint32_t n = p ? p->n : 0;
    struct chunk_id point;

    if (!crypt_unhex(id, point.b, sizeof point.b))
        return -EINVAL;
    if (n && (n % 2 == 1) == stands) /* said already */
        return 0;
    if (n >= CATALOGUE_NUMBER_MAX)
        return -ERANGE;
    a->ops[a->n++] = (struct catalogue_op){ point, n ? n + 1 : stands ? 1 : 2 };
    return 0;
}

static int write_gather(struct write_adding *a)
{
    char *const *points = a->add->points, *const *gone = a->add->gone;
    size_t n = 0;
    int r = 0;

    for (char *const *id = points; id && *id; id++)
        n++;
    for (char *const *id = gone; id && *id; id++)
        n++;
    if (!(a->ops = calloc(n + 1, sizeof *a->ops)))
        return -ENOMEM;
    for (char *const *id = points; r == 0 && id && *id; id++)
        r = add_op(a, *id, true);
    for (char *const *id = gone; r == 0 && id && *id; id++)
        r = add_op(a, *id, false);
    return r;
}

/* Where the chain ends. One that ends earlier than anybody knows is continued behind that, so that nothing has the number of what is
 * missing. */
static void find_end(struct write_adding *a)
{
    const struct store_head *last = &a->add->last;
    const char *key = store_host_key_id(a->add->key);
    size_t i = catalogue_find_chain(a->c, key);
    uint64_t claimed = catalogue_claimed(a->c, key);

    if (i < a->c->n_hosts) {
        a->seq = a->c->hosts[i].seq;
        a->has_head = crypt_unhex(a->c->hosts[i].head, a->head.b, sizeof a->head.b);
    }
    if (last->seq > a->seq) {
        a->seq = last->seq;
        a->has_head = crypt_unhex(last->id, a->head.b, sizeof a->head.b);
    }
    if (claimed > a->seq)
        a->seq = claimed;
}

/* ---- Entries ------------------------------------------------------------------------------------------------------------------------*/

static int see(struct write_adding *a, struct catalogue_entry *e)
{
    if (!(e->seen = calloc(a->c->n_hosts + 1, sizeof *e->seen)))
        return -ENOMEM;
    for (size_t i = 0; i < a->c->n_hosts && e->n_seen < CATALOGUE_SEEN_MAX; i++) {
        const struct store_host *h = &a->c->hosts[i];
        struct catalogue_seen *x = &e->seen[e->n_seen];
        if (h->ignored || strcmp(h->key, store_host_key_id(a->add->key)) == 0)
            continue;
        x->seq = h->seq;
        e->n_seen += crypt_unhex(h->key, x->key, sizeof x->key) && crypt_unhex(h->head, x->head.b, sizeof x->head.b);
    }
    return 0;
}

static int put_entry(struct write_adding *a, enum store_entry_kind kind, const struct catalogue_op *ops, size_t n, uint64_t since,
                     struct err *err)
{
    struct catalogue_entry *e = calloc(1, sizeof *e);
    int r = e && (e->ops = calloc(n + 1, sizeof *ops)) ? see(a, e) : -ENOMEM;

    if (r < 0) {
        catalogue_entry_free(e);
        return err_errno(err, -r, "cannot add to the catalogue");
    }
    if (n)
        memcpy(e->ops, ops, n * sizeof *ops);
    e->n_ops = n;
    memcpy(e->key, host_key_public(a->add->key), sizeof e->key);
    snprintf(e->host, sizeof e->host, "%s", a->add->host && *a->add->host ? a->add->host : "?");
    e->seq = a->seq + 1;
    e->since = since;
    e->time_us = clock_wall_us();
    e->kind = kind;
    e->has_prev = a->has_head;
    e->prev = a->head;
    r = catalogue_put(a->s, a->add->key, e, err);
    if (r == 0) {
        a->seq = e->seq;
        a->has_head = true;
        a->head = e->id;
        r = catalogue_append(a->c, e);
        if (r == 0)
            return 0;
        err_errno(err, -r, "cannot add to the catalogue");
    }
    catalogue_entry_free(e);
    return r;
}

/* In pieces that an entry can hold; as a base, the last of them. */
static int put_ops(struct write_adding *a, enum store_entry_kind kind, const struct catalogue_op *ops, size_t n, struct err *err)
{
    const uint64_t first = a->seq + 1;
    int r = 0;

    for (size_t done = 0, some; r == 0 && (done == 0 || done < n); done += some ? some : 1) {
        some = n - done < CATALOGUE_OPS_MAX ? n - done : CATALOGUE_OPS_MAX;
        bool base = kind == STORE_ENTRY_BASE && done + some == n;
        r = put_entry(a, kind == STORE_ENTRY_BASE && !base ? STORE_ENTRY_COMMIT : kind, ops + done, some, base ? first : 0, err);
    }
    return r;
}

/* ---- Bases --------------------------------------------------------------------------------------------------------------------------*/

/* A point that stands by this chain. One that is gone need not be said to be, unless by this chain alone it is and another one still says
 * that it stands. */
static bool belongs_in_base(const struct store_catalogue *c, size_t own, const struct catalogue_saying *list, size_t n)
{
    uint32_t mine = 0, all = 0;
    bool stands_elsewhere = false;

    for (size_t i = 0; i < n; i++) {
        if (list[i].chain == own)
            mine = list[i].op.n;
        else
            stands_elsewhere |= list[i].op.n % 2 == 1;
        if (!c->hosts[list[i].chain].ignored && list[i].op.n > all)
            all = list[i].op.n;
    }
    return mine && mine == all && (mine % 2 == 1 || stands_elsewhere);
}

/* All that the chain has to say, before the `more` ops that are added to it now. */
static int base_ops(struct write_adding *a, struct catalogue_op **ret, size_t *ret_n)
{
    _cleanup_free_ struct catalogue_saying *list = NULL;
    size_t own = catalogue_find_chain(a->c, store_host_key_id(a->add->key)), n = 0, used = 0;
    int r = catalogue_sayings(a->c, &list, &n);
    struct catalogue_op *ops = r == 0 ? calloc(n + a->n + 1, sizeof *ops) : NULL;

    if (!ops)
        return -ENOMEM;
    for (size_t i = 0, end; i < n; i = end) {
        size_t mine = n;
        for (end = i; end < n && memcmp(&list[i].op.point, &list[end].op.point, sizeof list[i].op.point) == 0; end++)
            mine = list[end].chain == own ? end : mine;
        if (mine < n && belongs_in_base(a->c, own, &list[i], end - i))
            ops[used++] = list[mine].op;
    }
    if (a->n)
        memcpy(ops + used, a->ops, a->n * sizeof *ops);
    *ret = ops;
    *ret_n = used + a->n;
    return 0;
}

static int put_base(struct write_adding *a, struct err *err)
{
    _cleanup_free_ struct catalogue_op *ops = NULL;
    size_t n = 0;
    int r = base_ops(a, &ops, &n);

    return r < 0 ? err_errno(err, -r, "cannot add to the catalogue") : put_ops(a, STORE_ENTRY_BASE, ops, n, err);
}

static bool base_is_due(const struct write_adding *a)
{
    size_t i = catalogue_find_chain(a->c, store_host_key_id(a->add->key));

    return i < a->c->n_hosts && a->c->hosts[i].entries >= CATALOGUE_BASE_EVERY;
}

void store_catalogue_tidy(struct store *s, struct store_catalogue *c, bool unreadable)
{
    for (size_t k = 0; k < c->n_hosts; k++)
        for (size_t i = 0; i < c->chains[k].n; i++) {
            struct catalogue_entry *e = c->entries[c->chains[k].first + i];
            if (e->seq >= c->chains[k].since || e->deleted)
                continue;
            if (catalogue_delete(s, &e->id, NULL) < 0)
                return;
            e->deleted = true;
        }
    for (; unreadable && c->n_junk; c->n_junk--)
        if (catalogue_delete(s, &c->junk[c->n_junk - 1], NULL) < 0)
            return;
}

/* ---- All of it ----------------------------------------------------------------------------------------------------------------------*/

static int write_settle(struct write_adding *a, struct err *err)
{
    int r = catalogue_sort(a->c, false);

    return r < 0 ? err_errno(err, -r, "cannot add to the catalogue") : store_catalogue_judge(a->c, err);
}

/* Failures of this are for the next time: what was to be said has been. */
static void write_replace(struct write_adding *a)
{
    struct err why = ERR_INIT;
    int r = 0;

    a->n = 0;
    if (base_is_due(a))
        r = put_base(a, &why);
    if (r == 0)
        r = write_settle(a, &why);
    if (r == 0)
        store_catalogue_tidy(a->s, a->c, false);
    else
        log_info(a->s->env.log, "cannot tidy up the catalogue: %s", why.text);
}

static int put_all(struct write_adding *a, struct err *err)
{
    int r = 0;

    if (a->add->anew || a->add->kind == STORE_ENTRY_BASE)
        r = put_base(a, err);
    else if (a->n)
        r = put_ops(a, a->add->kind, a->ops, a->n, err);
    if (r == 0)
        r = write_settle(a, err);
    if (r == 0)
        write_replace(a);
    return r;
}

int store_catalogue_add(struct store *s, struct store_catalogue *c, const struct store_catalogue_add *add, struct store_head *ret_head,
                        struct err *err)
{
    struct write_adding a = { .s = s, .c = c, .add = add };
    int r = write_gather(&a);

    if (r < 0)
        err_errno(err, -r, "cannot add to the catalogue");
    find_end(&a);
    if (r == 0)
        r = put_all(&a, err);
    free(a.ops);
    *ret_head = (struct store_head){ .seq = a.seq };
    snprintf(ret_head->key, sizeof ret_head->key, "%s", store_host_key_id(add->key));
    crypt_hex(a.head.b, sizeof a.head.b, ret_head->id);
    return r;
}
