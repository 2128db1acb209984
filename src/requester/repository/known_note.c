/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host does to a repository, written down for the next time; and what is asked of it. */
#include "requester/repository/known.h"
#include "base/clock.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

/* Reads the file again, as another kvss may have written it meanwhile, and changes it. */
static void change_doc(struct requester *rq, int (*fn)(json_t *doc, void *priv), void *priv)
{
    struct known *k = rq->known;
    _cleanup_close_ int lock = -1;
    struct err why = ERR_INIT;
    json_t *doc = NULL;

    if (known_nothing(rq))
        return;
    int r = known_lock(k, &lock, &why);
    if (r >= 0)
        r = known_load(k, &doc, &why);
    if (r == 1) { /* removed meanwhile: to trust anew is the next command's business */
        json_decref(doc);
        return;
    }
    if (r >= 0 && fn(doc, priv) < 0)
        r = err_nomem(&why);
    if (r >= 0)
        r = known_save(k, doc, &why);
    if (r >= 0) {
        json_decref(k->doc);
        k->doc = TAKE_PTR(doc);
    } else {
        log_warning(rq->config.log, "cannot record what this host does to the repository: %s", why.text);
    }
    json_decref(doc);
}

struct of_points {
    int (*fn)(json_t *points, void *priv);
    void *priv;
};

static int in_points(json_t *doc, void *priv)
{
    const struct of_points *x = priv;

    return x->fn(json_object_get(doc, "points"), x->priv);
}

static void change(struct requester *rq, int (*fn)(json_t *points, void *priv), void *priv)
{
    struct of_points x = { fn, priv };

    change_doc(rq, in_points, &x);
}

struct preparing {
    const char *id;
    const json_t *report;
};

static int prepared(json_t *points, void *priv)
{
    const struct preparing *p = priv;
    json_t *vms = json_object(), *vm;
    size_t i;
    int r = 0;

    json_array_foreach (point_vms(p->report), i, vm) {
        const struct vm_record_listed l = vm_record_listed(vm);
        if (l.uuid && l.checkpoint)
            r |= json_object_set_new(vms, l.uuid, json_string(l.checkpoint));
    }
    r |= json_object_set_new(points, p->id,
                             json_pack("{s:s, s:I, s:I, s:o}", "state", "prepared", "prepared_us", (json_int_t)clock_wall_us(), "made_us",
                                       json_integer_value(json_object_get(p->report, "made_us")), "vms", vms));
    return r;
}

static int copy_prepared(json_t *points, void *priv)
{
    return json_object_set_new(points, priv, json_pack("{s:s, s:I}", "state", "prepared", "prepared_us", (json_int_t)clock_wall_us()));
}

void known_note_prepared(struct requester *rq, const char *id, const json_t *report)
{
    struct preparing p = { id, report };

    change(rq, prepared, &p);
}

void known_note_copy_prepared(struct requester *rq, const char *id)
{
    change(rq, copy_prepared, (void *)(uintptr_t)id);
}

static int made(json_t *points, void *priv)
{
    json_t *p = json_object_get(points, priv);

    json_object_del(p, "prepared_us");
    return p ? json_object_set_new(p, "state", json_string("ours"))
             : json_object_set_new(points, priv, json_pack("{s:s}", "state", "ours"));
}

void known_note_made(struct requester *rq, const char *id)
{
    change(rq, made, (void *)(uintptr_t)id);
}

/* Of those that it has no note of it need not remember that either. */
static int verified(json_t *points, void *priv)
{
    int r = 0;

    for (char *const *id = priv; id && *id; id++) {
        json_t *p = json_object_get(points, *id);
        r |= p ? json_object_set_new(p, "verified_us", json_integer((json_int_t)clock_wall_us())) : 0;
    }
    return r;
}

void known_note_verified(struct requester *rq, char *const *ids)
{
    if (ids)
        change(rq, verified, (void *)(uintptr_t)ids);
}

int64_t known_verified(const struct requester *rq, const char *id)
{
    const json_t *points = rq->known ? json_object_get(rq->known->doc, "points") : NULL;

    return (int64_t)json_get_u64(json_object_get(points, id), "verified_us");
}

static int new_keys(json_t *doc, void *priv)
{
    struct store *s = priv;
    char key[STORE_ID_LEN + 1];

    if (store_fingerprint(s, key, NULL) < 0)
        return -1;
    return json_object_set_new(doc, "key", json_string(key)) |
           json_object_set_new(doc, "generation", json_integer((json_int_t)store_generation(s)));
}

void known_note_keys(struct requester *rq)
{
    change_doc(rq, new_keys, rq->store);
}

/* What it was before stands beside it, for the case that it stays. */
static int forgotten(json_t *points, void *priv)
{
    int r = 0;

    for (char *const *id = priv; *id; id++) {
        json_t *p = json_object_get(points, *id);
        const char *was = p ? json_get_text(p, "state") : "seen";
        if (p && !strcmp(was, "forgotten"))
            continue;
        json_t *now = p ? json_deep_copy(p) : json_object();
        r |= json_object_set_new(now, "was", json_string(was));
        r |= json_object_set_new(now, "state", json_string("forgotten"));
        (void)json_object_del(points, *id); /* to the end: the oldest are given up first */
        r |= json_object_set_new(points, *id, now);
    }
    return r;
}

void known_note_forgotten(struct requester *rq, char *const *ids)
{
    if (ids)
        change(rq, forgotten, (void *)(uintptr_t)ids);
}

static int removed(json_t *points, void *priv)
{
    int r = 0;

    for (char *const *id = priv; *id; id++)
        if (json_object_get(points, *id))
            r |= json_object_set_new(json_object_get(points, *id), "absent", json_true());
    return r;
}

void known_note_removed(struct requester *rq, char *const *ids)
{
    if (ids)
        change(rq, removed, (void *)(uintptr_t)ids);
}

static int accepted(json_t *points, void *priv)
{
    int r = 0;

    for (char *const *id = priv; *id; id++) {
        if (!json_object_get(points, *id))
            r |= json_object_set_new(points, *id, json_pack("{s:s}", "state", "seen"));
        r |= json_object_set_new(json_object_get(points, *id), "accepted", json_true());
    }
    return r;
}

void known_note_accepted(struct requester *rq, char *const *ids)
{
    if (ids)
        change(rq, accepted, (void *)(uintptr_t)ids);
}

static int kept(json_t *points, void *priv)
{
    int r = 0;

    for (char *const *id = priv; *id; id++) {
        json_t *p = json_object_get(points, *id);
        const char *was = json_get_text(p, "was");
        if (was && (!strcmp(was, "ours") || !strcmp(was, "seen"))) {
            r |= json_object_set_new(p, "state", json_string(was));
            json_object_del(p, "absent");
        }
    }
    return r;
}

void known_note_kept(struct requester *rq, char *const *ids)
{
    if (ids)
        change(rq, kept, (void *)(uintptr_t)ids);
}

/* ---- Asking -----------------------------------------------------------------------------------------------------------------*/

bool known_nothing(const struct requester *rq)
{
    return !rq->known || !rq->known->doc;
}

int known_owns(const struct requester *rq, const char *point, const char *vm_uuid, const char *checkpoint)
{
    json_t *p;
    const char *id;

    if (known_nothing(rq))
        return -1;
    json_object_foreach (json_object_get(rq->known->doc, "points"), id, p) {
        const char *of = json_get_text(json_object_get(p, "vms"), vm_uuid);
        if (of && !strcmp(of, checkpoint))
            return !strcmp(id, point);
    }
    return -1;
}

bool known_made(const struct requester *rq, const char *point)
{
    const json_t *p = known_nothing(rq) ? NULL : json_object_get(json_object_get(rq->known->doc, "points"), point);
    const char *state = json_get_text(p, "state");

    return state && (!strcmp(state, "ours") || !strcmp(state, "prepared")) && json_is_object(json_object_get(p, "vms"));
}
