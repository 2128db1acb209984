/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host signs for what it does to a repository: for a restore point when it is there, for a removal before. Whatever it could not sign
 * for, because it was killed or the storage was full, it signs for the next time: this host remembers what it has done. */
#include "requester/repository/known.h"
#include <errno.h>
#include <string.h>

struct signing {
    struct requester *rq;
    struct known *k;
    enum store_entry_kind kind;
    char *const *gone_now;
    json_t *doc;
    struct store_id *ids; /* of the points that are there */
    size_t n;
    char **points, **gone; /* to be signed for */
};

static void signing_clear(struct signing *x)
{
    json_decref(x->doc);
    free(x->ids);
    strv_free(x->points);
    strv_free(x->gone);
}

static bool sign_is_there(const struct signing *x, const char *id)
{
    for (size_t i = 0; i < x->n; i++)
        if (!strcmp(x->ids[i].text, id))
            return true;
    return false;
}

static json_t *own_entry(const struct signing *x)
{
    return json_object_get(json_object_get(x->doc, "hosts"), store_host_key_id(x->k->key));
}

/* ---- What there is to sign -----------------------------------------------------------------------------------------------------------*/

static int choose_one(struct signing *x, const char *id, const json_t *p)
{
    const struct store_signed_point *by = store_catalogue_find(x->k->catalogue, id);
    const char *state = json_get_text(p, "state");
    bool accepted = json_is_true(json_object_get(p, "accepted"));

    if (!strcmp(state, "forgotten"))
        return json_is_true(json_object_get(p, "absent")) && (store_point_stands(by) || (accepted && !by)) && !sign_is_there(x, id)
                   ? strv_add(&x->gone, id)
                   : 0;
    if (((!strcmp(state, "ours") && !by) || (accepted && !store_point_stands(by))) && sign_is_there(x, id))
        return strv_add(&x->points, id);
    return 0;
}

/* Whether nobody has signed anything yet, as far as anybody knows. */
static bool sign_is_first(const struct signing *x)
{
    size_t n = 0;

    (void)store_catalogue_hosts(x->k->catalogue, &n);
    return n == 0 && !json_object_size(json_object_get(x->doc, "hosts")) && !store_catalogue_unreadable(x->k->catalogue);
}

static int sign_choose(struct signing *x, bool first)
{
    const json_t *p;
    const char *id;
    int r = 0;

    for (size_t i = 0; first && r >= 0 && i < x->n; i++)
        r = strv_add(&x->points, x->ids[i].text);
    json_object_foreach (json_object_get(x->doc, "points"), id, p)
        if (r >= 0 && !first)
            r = choose_one(x, id, p);
    for (char *const *gone = x->gone_now; r >= 0 && gone && *gone; gone++)
        r = strv_add(&x->gone, *gone);
    return r;
}

/* A chain that was cut short is said again as a whole, so that others need not miss what nobody has any more. */
static bool is_broken(const struct signing *x)
{
    size_t n = 0;
    const struct store_host *list = store_catalogue_hosts(x->k->catalogue, &n);
    const json_t *own = own_entry(x);
    uint64_t seq = json_get_u64(own, "seq"), waived = json_get_u64(own, "waived");

    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].key, store_host_key_id(x->k->key)))
            return list[i].broken || list[i].seq < seq || list[i].seq < waived;
    return seq || waived;
}

/* ---- Signing -------------------------------------------------------------------------------------------------------------------------*/

static int sign_remember(struct signing *x, const struct store_head *head, const char *name)
{
    json_t *hosts = json_object_get(x->doc, "hosts"), *own, *p;
    const char *id;
    int r = 0;

    if (!hosts)
        r = json_object_set_new(x->doc, "hosts", hosts = json_object());
    if (!(own = json_object_get(hosts, head->key)))
        r |= json_object_set_new(hosts, head->key, own = json_object());
    r |= json_object_set_new(own, "name", json_string(name));
    r |= json_object_set_new(own, "seq", json_integer((json_int_t)head->seq));
    r |= json_object_set_new(own, "head", json_string(head->id));
    json_object_foreach (json_object_get(x->doc, "points"), id, p)
        if (store_point_stands(store_catalogue_find(x->k->catalogue, id)) == (strcmp(json_get_text(p, "state"), "forgotten") != 0))
            json_object_del(p, "accepted");
    return r < 0 ? -ENOMEM : 0;
}

static int sign_add(struct signing *x, struct err *err)
{
    const bool first = sign_is_first(x);
    char name[STORE_HOST_NAME_MAX + 1];
    struct store_head head;

    if (sign_choose(x, first) < 0)
        return err_nomem(err);
    struct store_catalogue_add what = { .key = x->k->key,
                                        .host = name,
                                        .kind = first ? STORE_ENTRY_BASE : x->kind,
                                        .points = x->points,
                                        .gone = x->gone,
                                        .anew = x->kind == STORE_ENTRY_BASE || is_broken(x) };
    const json_t *own = own_entry(x);
    host_name(x->rq, name);
    what.last.seq = json_get_u64(own, "seq");
    snprintf(what.last.id, sizeof(what.last.id), "%s", what.last.seq ? json_get_text(own, "head") : "");
    if (!first && !what.points && !what.gone && !what.anew)
        return 0;
    int r = store_catalogue_add(x->rq->store, x->k->catalogue, &what, &head, err);
    if (r < 0)
        return r;
    if (sign_remember(x, &head, name) < 0)
        return err_nomem(err);
    r = known_save(x->k, x->doc, err);
    if (r >= 0) {
        json_decref(x->k->doc);
        x->k->doc = TAKE_PTR(x->doc);
    }
    return r;
}

/* Under the lock of what this host remembers: two that run at the same time on this host have one chain. */
static int sign_sign(struct signing *x, struct err *err)
{
    _cleanup_close_ int lock = -1;

    int r = known_lock(x->k, &lock, err);
    if (r >= 0)
        r = known_load(x->k, &x->doc, err);
    if (r == 1)
        return 0; /* removed meanwhile: to trust anew is the next command's business */
    if (r >= 0 && !x->k->key)
        r = host_key_load(x->k, true, &x->k->key, err);
    if (r >= 0)
        r = store_catalogue_refresh(x->rq->store, x->k->catalogue, err);
    if (r >= 0)
        r = store_point_ids(x->rq->store, &x->ids, &x->n, err);
    return r < 0 ? r : sign_add(x, err);
}

int known_sign(struct requester *rq, enum store_entry_kind kind, char *const *gone)
{
    _cleanup_(signing_clear) struct signing x = { .rq = rq, .k = rq->known, .kind = kind, .gone_now = gone };
    struct err why = ERR_INIT;

    if (known_nothing(rq) || !rq->known->catalogue)
        return 0;
    int r = sign_sign(&x, &why);
    if (r < 0)
        log_warning(rq->config.log,
                    "this host could not sign its changes to the repository; it retries with the next command that writes: %s", why.text);
    else if (kind != STORE_ENTRY_COMMIT)
        store_catalogue_tidy(rq->store, rq->known->catalogue, rq->config.accept_rollback);
    return r;
}

void known_begin(struct requester *rq)
{
    struct err why = ERR_INIT;

    if (known_nothing(rq) || rq->known->catalogue || store_version(rq->store) < 2)
        return;
    int r = store_catalogue_read(rq->store, NULL, 0, &rq->known->catalogue, &why);
    if (r >= 0)
        r = store_catalogue_judge(rq->known->catalogue, &why);
    if (r < 0)
        log_warning(rq->config.log, "this host cannot start to sign its changes to the repository: %s", why.text);
    else
        (void)known_sign(rq, STORE_ENTRY_BASE, NULL);
}

void known_make_up(struct requester *rq)
{
    const json_t *p;
    const char *id;
    bool any = false;

    if (known_nothing(rq) || !rq->known->catalogue)
        return;
    json_object_foreach (json_object_get(rq->known->doc, "points"), id, p)
        any |= !strcmp(json_get_text(p, "state"), "ours") && !store_catalogue_find(rq->known->catalogue, id);
    if (any)
        (void)known_sign(rq, STORE_ENTRY_COMMIT, NULL);
}

/* ---- What was interrupted ------------------------------------------------------------------------------------------------------------*/

static int finish_one(struct requester *rq, const char *id, struct err *err)
{
    char *ids[] = { (char *)(uintptr_t)id, NULL };
    struct err why = ERR_INIT;

    if (!store_point_is_gone(store_catalogue_find(rq->known->catalogue, id)))
        return 0;
    known_note_forgotten(rq, ids);
    int r = store_forget(rq->store, (const char *const *)ids, 1, &why);
    if (r >= 0) {
        log_info(rq->config.log, "removing restore point %.12s, which an earlier command had begun", id);
        known_note_removed(rq, ids);
        return 0;
    }
    known_note_kept(rq, ids);
    if (r != -EPERM)
        return err_move(err, &why);
    log_info(rq->config.log, "%s", why.text);
    known_note_accepted(rq, ids);
    return 0;
}

int known_finish(struct requester *rq, struct err *err)
{
    json_t *id;
    size_t i;
    int r = 0;

    if (known_nothing(rq) || !rq->known->catalogue)
        return 0;
    json_array_foreach (rq->known->unfinished, i, id)
        if (r >= 0)
            r = finish_one(rq, json_string_value(id), err);
    json_array_clear(rq->known->unfinished);
    return r;
}
