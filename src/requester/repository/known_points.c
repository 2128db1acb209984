/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether all restore points are in a repository that should be, by what this host remembers, and by what hosts have signed. */
#include "base/clock.h"
#include "requester/repository/known_meet.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

#define PREPARED_DAYS 2 /* a restore point that was prepared so long ago was never published */
#define SIGNED_WITHIN_US (600 * INT64_C(1000000))

static bool points_is_state(const json_t *point, const char *state)
{
    return !strcmp(json_get_text(point, "state"), state);
}

/* ---- Is all there? ------------------------------------------------------------------------------------------------------------*/

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct store_id *)a)->text, ((const struct store_id *)b)->text);
}

static int list_ids(struct meeting *m, struct err *err)
{
    int r = store_point_ids(m->rq->store, &m->ids, &m->n, err);

    if (r >= 0 && m->n)
        qsort(m->ids, m->n, sizeof(*m->ids), compare_ids);
    return r;
}

static bool points_is_there(const struct meeting *m, const char *id)
{
    struct store_id key;

    snprintf(key.text, sizeof(key.text), "%s", id);
    return m->n && bsearch(&key, m->ids, m->n, sizeof(key), compare_ids);
}

/* First use: what is found is trusted. A checkpoint that several restore points lay claim to belongs to none of them. */
static int points_adopt(struct meeting *m, struct err *err)
{
    _cleanup_json_ json_t *owners = json_object();
    json_t *points = json_object_get(m->doc, "points"), *vm;
    struct store_point_info *list = NULL;
    size_t n = 0, k;

    int r = store_list(m->rq->store, &list, &n, NULL, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        _cleanup_json_ json_t *meta = NULL;
        json_t *vms = json_object();
        json_object_set_new(points, list[i].id,
                            json_pack("{s:s, s:I, s:o}", "state", "seen", "made_us", (json_int_t)list[i].made_us, "vms", vms));
        if (list[i].origin[0] || point_meta(list[i].meta, &meta, NULL) < 0)
            continue;
        json_array_foreach (point_vms(meta), k, vm) {
            const struct vm_record_listed l = vm_record_listed(vm);
            _cleanup_free_ char *key = l.uuid && l.checkpoint ? str_format("%s %s", l.uuid, l.checkpoint) : NULL;
            if (!key)
                continue;
            json_t *other = json_object_get(owners, key);
            if (other)
                json_object_del(json_object_get(json_object_get(points, json_string_value(other)), "vms"), l.uuid);
            else if (json_object_set_new(vms, l.uuid, json_string(l.checkpoint)) >= 0)
                json_object_set_new(owners, key, json_string(list[i].id));
        }
    }
    store_list_free(list, n);
    return r;
}

/* ---- What is there ----------------------------------------------------------------------------------------------------------------*/

static bool points_has(const json_t *point, const char *what)
{
    return json_is_true(json_object_get(point, what));
}

static const struct store_signed_point *signed_of(const struct meeting *m, const char *id)
{
    return m->k->catalogue ? store_catalogue_find(m->k->catalogue, id) : NULL;
}

/* A host signs right after its backup: what is fresh may still be. That is believed of the storage's clock only for a while. */
static bool may_still_be_signed(struct meeting *m, const char *id, json_t *p)
{
    int64_t now = clock_wall_us(), put = store_point_put_us(m->rq->store, id), since = (int64_t)json_get_u64(p, "unsigned_us");

    if (!since)
        json_object_set_new(p, "unsigned_us", json_integer(since = now));
    return put > now - SIGNED_WITHIN_US && put < now + SIGNED_WITHIN_US && since > now - SIGNED_WITHIN_US;
}

/* Of points that this host made it signs with the next thing it does. */
static int meet_unsigned(struct meeting *m, const char *id, json_t *p)
{
    if (!m->k->catalogue || points_is_state(p, "ours") || points_has(p, "accepted") || m->not_begun || may_still_be_signed(m, id, p))
        return 0;
    return json_array_append_new(m->k->unsigned_points, json_pack("{s:s, s:b}", "id", id, "told", points_has(p, "unsigned_told")));
}

/* A host signs before it removes. What was never seen to be gone has not been put back: that host was interrupted, or is at it. */
static int meet_forgotten(struct meeting *m, const char *id, const json_t *p)
{
    if (points_has(p, "accepted") && !points_is_state(p, "forgotten"))
        return 0;
    if (store_point_is_gone(signed_of(m, id)) && !points_has(p, "absent"))
        return json_array_append_new(m->k->unfinished, json_string(id));
    return points_is_state(p, "forgotten") ? json_array_append_new(m->k->returned, json_string(id)) : 0;
}

static int meet_present(struct meeting *m, struct err *err)
{
    json_t *points = json_object_get(m->doc, "points");
    int r = 0;

    for (size_t i = 0; i < m->n; i++) {
        const char *id = m->ids[i].text;
        const struct store_signed_point *by = signed_of(m, id);
        json_t *p = json_object_get(points, id);
        if (!p)
            r |= json_object_set_new(points, id, p = json_pack("{s:s}", "state", "seen"));
        else if (points_is_state(p, "prepared")) {
            r |= json_object_set_new(p, "state", json_string("ours"));
            json_object_del(p, "prepared_us");
        }
        if (points_is_state(p, "forgotten") || store_point_is_gone(by))
            r |= meet_forgotten(m, id, p);
        else if (!by)
            r |= meet_unsigned(m, id, p);
        json_object_del(p, "told");
    }
    return r < 0 ? err_nomem(err) : 0;
}

/* ---- What is not -------------------------------------------------------------------------------------------------------------------*/

/* What others have signed for is to be there, whether this host has ever seen it or not. */
static int expect_signed(struct meeting *m, struct err *err)
{
    json_t *points = json_object_get(m->doc, "points");
    size_t n = 0;
    const struct store_signed_point *list = m->k->catalogue ? store_catalogue_points(m->k->catalogue, &n) : NULL;
    int r = 0;

    for (size_t i = 0; i < n; i++)
        if (store_point_stands(&list[i]) && !json_object_get(points, list[i].id))
            r |= json_object_set_new(points, list[i].id, json_pack("{s:s}", "state", "seen"));
    return r < 0 ? err_nomem(err) : 0;
}

/* Forgotten, by whichever host. */
static int note_gone(json_t *p)
{
    int r = json_object_set_new(p, "absent", json_true());

    if (!points_is_state(p, "forgotten"))
        json_object_del(p, "accepted");
    return r | json_object_set_new(p, "state", json_string("forgotten"));
}

/* An older kvss has only told when the point was made. */
static int64_t prepared_us(const json_t *p)
{
    const json_t *at = json_object_get(p, "prepared_us");

    return json_integer_value(at ? at : json_object_get(p, "made_us"));
}

static int meet_missing_one(struct meeting *m, const char *id, json_t *p, int64_t now)
{
    const struct store_signed_point *by = signed_of(m, id);

    if (points_is_state(p, "forgotten") || store_point_is_gone(by))
        return note_gone(p);
    if (points_is_state(p, "prepared") && !by) {
        if (prepared_us(p) < now - PREPARED_DAYS * 24 * 3600 * INT64_C(1000000))
            json_object_del(json_object_get(m->doc, "points"), id);
        return 0;
    }
    m->k->lost |= by != NULL;
    return json_array_append_new(m->k->missing,
                                 json_pack("{s:s, s:b, s:b}", "id", id, "ours", points_is_state(p, "ours"), "told", points_has(p, "told")));
}

static int meet_missing(struct meeting *m, struct err *err)
{
    json_t *points = json_object_get(m->doc, "points"), *p;
    int64_t now = clock_wall_us(), newest = -1;
    bool rolled_back = false;
    const char *id;
    void *next;
    int r = 0;

    json_object_foreach_safe (points, next, id, p) {
        int64_t made = json_integer_value(json_object_get(p, "made_us"));
        bool there = points_is_there(m, id);
        if (points_is_state(p, "ours") && made > newest) {
            newest = made;
            rolled_back = !there && !store_point_is_gone(signed_of(m, id));
        }
        if (!there)
            r |= meet_missing_one(m, id, p, now);
    }
    m->k->rolled_back |= rolled_back;
    return r < 0 ? err_nomem(err) : 0;
}

/* ---- All of it -----------------------------------------------------------------------------------------------------------------------*/

/* As it is, it is right. With a catalogue this host signs for that with the next thing it does. */
static void accept_rollback(struct meeting *m)
{
    json_t *points = json_object_get(m->doc, "points"), *item;
    size_t i;

    json_array_foreach (m->k->missing, i, item) {
        json_t *p = json_object_get(points, json_get_text(item, "id"));
        if (!m->k->catalogue)
            json_object_del(points, json_get_text(item, "id"));
        else if (note_gone(p) >= 0)
            json_object_set_new(p, "accepted", json_true());
    }
    json_array_foreach (m->k->returned, i, item) {
        json_t *p = json_object_get(points, json_string_value(item));
        json_object_set_new(p, "state", json_string("seen"));
        if (m->k->catalogue)
            json_object_set_new(p, "accepted", json_true());
    }
    json_array_foreach (m->k->unsigned_points, i, item)
        json_object_set_new(json_object_get(points, json_get_text(item, "id")), "accepted", json_true());
    json_array_clear(m->k->missing);
    json_array_clear(m->k->returned);
    json_array_clear(m->k->unsigned_points);
    m->k->rolled_back = m->k->lost = false;
}

/* Others go on meanwhile: they sign when a point is there, and before it goes. So what was read of both does not agree for a moment. */
static bool agrees(const struct meeting *m)
{
    size_t n = 0;
    const struct store_signed_point *list = store_catalogue_points(m->k->catalogue, &n);

    for (size_t i = 0; i < n; i++)
        if (store_point_stands(&list[i]) && !points_is_there(m, list[i].id))
            return false;
    for (size_t i = 0; i < m->n; i++)
        if (!store_catalogue_find(m->k->catalogue, m->ids[i].text))
            return false;
    return true;
}

static int list_again(struct meeting *m, struct err *err)
{
    free(m->ids);
    m->ids = NULL;
    m->n = 0;
    int r = list_ids(m, err);
    return r < 0 ? r : store_catalogue_refresh(m->rq->store, m->k->catalogue, err);
}

/* Nobody has signed anything yet: the first who does takes over all points. */
static bool is_not_begun(const struct meeting *m)
{
    size_t n = 0;

    (void)store_catalogue_hosts(m->k->catalogue, &n);
    return n == 0 && !json_object_size(json_object_get(m->doc, "hosts"));
}

int meeting_points(struct meeting *m, struct err *err)
{
    int r = list_ids(m, err);

    if (r >= 0 && m->k->catalogue && !(m->not_begun = is_not_begun(m)) && !agrees(m))
        r = list_again(m, err);
    if (r >= 0 && m->fresh)
        r = points_adopt(m, err);
    if (r >= 0 && (!m->fresh || m->k->catalogue))
        r = meet_present(m, err);
    if (r >= 0)
        r = expect_signed(m, err);
    if (r >= 0 && (!m->fresh || m->k->catalogue))
        r = meet_missing(m, err);
    if (r >= 0 && m->rq->config.accept_rollback)
        accept_rollback(m);
    return r < 0 ? r : 0;
}
