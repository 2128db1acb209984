/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a repository is the one that this host knows, and whether all that it should hold is in it. */
#include "base/clock.h"
#include "requester/known.h"
#include "requester/point.h"
#include <errno.h>
#include <string.h>

#define NAMED_MAX 3
#define PREPARED_DAYS 2 /* a restore point that was prepared so long ago was never published */

struct meeting {
    struct requester *rq;
    enum known_use use;
    struct known *k;
    json_t *doc, *addresses;
    char *address;
    char key[STORE_ID_LEN + 1]; /* fingerprint */
    struct store_id *ids;       /* of the points that are there, sorted */
    size_t n;
    bool fresh;                 /* nothing is remembered */
    bool moved;                 /* the address is a new one */
};

static void meeting_clear(struct meeting *m)
{
    json_decref(m->doc);
    json_decref(m->addresses);
    free(m->address);
    free(m->ids);
    known_free(m->k);
}

static bool is_state(const json_t *point, const char *state)
{
    return !strcmp(json_get_text(point, "state"), state);
}

/* ---- Is it the one? -----------------------------------------------------------------------------------------------------------*/

static bool list_has(const json_t *list, const char *s)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (!strcmp(json_string_value(item), s))
            return true;
    return false;
}

static bool is_encrypted(const json_t *doc)
{
    return json_is_true(json_object_get(doc, "encrypted"));
}

/* Another master key than the one that is remembered, and not one that it was rotated to: that has the older one with it. */
static bool is_other_key(const struct meeting *m)
{
    const char *known = json_get_text(m->doc, "key");

    return strcmp(known, m->key) != 0 && !(*known && store_had_fingerprint(m->rq->store, known));
}

/* NULL: it is. */
static const char *what_is_strange(struct meeting *m)
{
    const json_t *here = json_object_get(json_object_get(m->addresses, "addresses"), m->address);
    bool encrypted = store_encrypted(m->rq->store);

    m->moved = !list_has(here, store_guid(m->rq->store));
    if (!m->fresh && is_encrypted(m->doc) && !encrypted)
        return "it was encrypted, and what is there now is not";
    if (!m->fresh && is_other_key(m))
        return "its master key is another one";
    if (!m->fresh && json_get_u64(m->doc, "generation") > store_generation(m->rq->store))
        return "its list of keys is an older one that was put back";
    /* One that this host has the key of is what it says it is, wherever it has been moved to. */
    if (m->moved && json_array_size(here) && (m->fresh || !encrypted))
        return encrypted ? "another repository was there before" : "another repository was there before, and this one is not encrypted";
    return NULL;
}

/* From now on it is. */
static int acknowledge(struct meeting *m, const char *strange, struct err *err)
{
    json_t *all = json_object_get(m->addresses, "addresses"), *here = json_object_get(all, m->address);

    if (strange && !m->fresh && is_other_key(m)) {
        json_object_clear(json_object_get(m->doc, "points")); /* nothing that was remembered holds */
        m->fresh = true;
    }
    int r = json_object_set_new(m->doc, "encrypted", json_boolean(store_encrypted(m->rq->store)));
    r |= json_object_set_new(m->doc, "key", json_string(m->key));
    if (*store_key_used(m->rq->store))
        r |= json_object_set_new(m->doc, "opened_by", json_string(store_key_used(m->rq->store)));
    r |= json_object_set_new(m->doc, "generation", json_integer((json_int_t)store_generation(m->rq->store)));
    if (m->moved) {
        if (!here)
            r |= json_object_set_new(all, m->address, here = json_array());
        r |= json_array_append_new(here, json_string(store_guid(m->rq->store)));
    }
    return r < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

static int refuse(struct meeting *m, struct err *err)
{
    m->rq->end = REQUESTER_REFUSED;
    err->code = EPERM;
    return -EPERM;
}

static int judge(struct meeting *m, struct err *err)
{
    const char *strange = what_is_strange(m);

    if (!strange || m->use == KNOWN_FOUNDED || m->rq->config.accept_new_repository)
        return acknowledge(m, strange, err);
    err_set(err, EPERM, "%s is not the repository that this host knows there: %s. If it is the right one, say so once with "
                        "--accept-new-repository", m->address, strange);
    if (!(m->k->strange = strdup(err->text)))
        return err_set(err, ENOMEM, "out of memory");
    return m->use == KNOWN_LOOK || m->use == KNOWN_CHECK ? 0 : refuse(m, err);
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

static bool is_there(const struct meeting *m, const char *id)
{
    struct store_id key;

    snprintf(key.text, sizeof(key.text), "%s", id);
    return m->n && bsearch(&key, m->ids, m->n, sizeof(key), compare_ids);
}

/* First use: what is found is trusted. A checkpoint that several restore points lay claim to belongs to none of them. */
static int adopt(struct meeting *m, struct err *err)
{
    _cleanup_json_ json_t *owners = json_object();
    json_t *points = json_object_get(m->doc, "points"), *vm;
    struct store_point_info *list = NULL;
    size_t n = 0, k;

    int r = store_list(m->rq->store, &list, &n, NULL, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        _cleanup_json_ json_t *meta = NULL;
        json_t *vms = json_object();
        json_object_set_new(points, list[i].id, json_pack("{s:s, s:I, s:o}", "state", "seen", "made_us", (json_int_t)list[i].made_us,
                                                          "vms", vms));
        if (list[i].origin[0] || point_meta(list[i].meta, &meta, NULL) < 0)
            continue;
        json_array_foreach (json_object_get(meta, "vms"), k, vm) {
            const char *uuid = json_get_text(vm, "uuid"), *checkpoint = json_get_text(vm, "checkpoint");
            _cleanup_free_ char *key = uuid && checkpoint ? str_format("%s %s", uuid, checkpoint) : NULL;
            if (!key)
                continue;
            json_t *other = json_object_get(owners, key);
            if (other)
                json_object_del(json_object_get(json_object_get(points, json_string_value(other)), "vms"), uuid);
            else if (json_object_set_new(vms, uuid, json_string(checkpoint)) >= 0)
                json_object_set_new(owners, key, json_string(list[i].id));
        }
    }
    store_list_free(list, n);
    return r;
}

/* What is there, against what is remembered. */
static int meet_present(struct meeting *m, struct err *err)
{
    json_t *points = json_object_get(m->doc, "points");
    int r = 0;

    for (size_t i = 0; i < m->n; i++) {
        const char *id = m->ids[i].text;
        json_t *p = json_object_get(points, id);
        if (!p)
            r |= json_object_set_new(points, id, json_pack("{s:s}", "state", "seen"));
        else if (is_state(p, "forgotten"))
            r |= json_array_append_new(m->k->returned, json_string(id));
        else if (is_state(p, "prepared"))
            r |= json_object_set_new(p, "state", json_string("ours"));
        json_object_del(p, "told");
    }
    return r < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* What is remembered, against what is there. */
static int meet_missing(struct meeting *m, struct err *err)
{
    json_t *points = json_object_get(m->doc, "points"), *p;
    int64_t now = clock_wall_us(), newest = -1;
    const char *id;
    void *next;
    int r = 0;

    json_object_foreach_safe (points, next, id, p) {
        int64_t made = json_integer_value(json_object_get(p, "made_us"));
        bool ours = is_state(p, "ours"), there = is_there(m, id);
        if (ours && made > newest) {
            newest = made;
            m->k->rolled_back = !there;
        }
        if (there || is_state(p, "forgotten"))
            continue;
        if (!is_state(p, "prepared"))
            r |= json_array_append_new(m->k->missing, json_pack("{s:s, s:b, s:b}", "id", id, "ours", ours, "told",
                                                                json_is_true(json_object_get(p, "told"))));
        else if (made < now - PREPARED_DAYS * 24 * 3600 * INT64_C(1000000))
            json_object_del(points, id);
    }
    return r < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* As it is, it is right. */
static void accept_rollback(struct meeting *m)
{
    json_t *points = json_object_get(m->doc, "points"), *item;
    size_t i;

    json_array_foreach (m->k->missing, i, item)
        json_object_del(points, json_get_text(item, "id"));
    json_array_foreach (m->k->returned, i, item)
        json_object_set_new(json_object_get(points, json_string_value(item)), "state", json_string("seen"));
    json_array_clear(m->k->missing);
    json_array_clear(m->k->returned);
    m->k->rolled_back = false;
}

/* ---- Telling ------------------------------------------------------------------------------------------------------------------*/

/* "2 restore points, 0123456789ab and ba9876543210" */
static int name_them(const json_t *list, bool untold_only, struct buf *ret, size_t *ret_n)
{
    size_t i, n = 0;
    json_t *item;

    json_array_foreach (list, i, item) {
        const char *id = json_is_string(item) ? json_string_value(item) : json_get_text(item, "id");
        if (untold_only && json_is_true(json_object_get(item, "told")))
            continue;
        if (n++ < NAMED_MAX && buf_addf(ret, "%s%.12s", n > 1 ? ", " : "", id) < 0)
            return -ENOMEM;
    }
    *ret_n = n;
    return n > NAMED_MAX ? buf_adds(ret, ", ...") : 0;
}

int known_missing_text(const struct known *k, bool untold_only, struct buf *ret)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    size_t n = 0;

    int r = name_them(k->missing, untold_only && !k->rolled_back, &names, &n);
    if (r < 0 || n == 0)
        return r;
    return buf_addf(ret, "%zu restore %s that this host knows %s not in the repository any more (%s), and this host has not forgotten "
                         "%s%s. If that is right, since another host did or the repository was restored from a copy, say so once "
                         "with --accept-rollback", n, n == 1 ? "point" : "points", n == 1 ? "is" : "are", (char *)names.data,
                    n == 1 ? "it" : "them", k->rolled_back ? "; the newest that it made is among them: the repository was rolled back, or "
                                                             "not all of it is there" : "");
}

int known_returned_text(const struct known *k, struct buf *ret)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    size_t n = 0;

    int r = name_them(k->returned, false, &names, &n);
    if (r < 0 || n == 0)
        return r;
    return buf_addf(ret, "%zu restore %s that this host has forgotten %s in the repository again (%s): forget %s once more, or, if "
                         "that is right, say so with --accept-rollback", n, n == 1 ? "point" : "points", n == 1 ? "is" : "are",
                    (char *)names.data, n == 1 ? "it" : "them");
}

static void mark_told(struct meeting *m)
{
    json_t *item;
    size_t i;

    json_array_foreach (m->k->missing, i, item)
        json_object_set_new(json_object_get(json_object_get(m->doc, "points"), json_get_text(item, "id")), "told", json_true());
}

static int tell(struct meeting *m, struct err *err)
{
    _cleanup_buf_ struct buf missing = BUF_INIT, returned = BUF_INIT;
    const struct log *log = m->rq->config.log;

    if (m->use == KNOWN_CHECK)
        return 0;
    if (known_missing_text(m->k, true, &missing) < 0 || known_returned_text(m->k, &returned) < 0)
        return err_set(err, ENOMEM, "out of memory");
    if (m->k->strange)
        log_warning(log, "%s", m->k->strange);
    if (m->use == KNOWN_CHANGE && m->k->rolled_back) {
        err_set(err, EPERM, "%s", (char *)missing.data);
        return refuse(m, err);
    }
    if (missing.len)
        log_warning(log, "%s", (char *)missing.data);
    if (returned.len)
        log_warning(log, "%s", (char *)returned.data);
    if (m->use == KNOWN_CHANGE)
        mark_told(m);
    return 0;
}

/* ---- The meeting --------------------------------------------------------------------------------------------------------------*/

static int compare(struct meeting *m, struct err *err)
{
    int r = list_ids(m, err);

    if (r >= 0)
        r = m->fresh ? adopt(m, err) : meet_present(m, err);
    if (r >= 0 && !m->fresh)
        r = meet_missing(m, err);
    if (r >= 0 && m->rq->config.accept_rollback)
        accept_rollback(m);
    return r;
}

static int load(struct meeting *m, struct err *err)
{
    int r = known_load(m->k, &m->doc, err);

    m->fresh = r > 0;
    if (r >= 0)
        r = known_load_addresses(m->k, &m->addresses, err);
    if (r >= 0)
        r = store_fingerprint(m->rq->store, m->key, err);
    if (r >= 0 && (!(m->address = known_address(store_location(m->rq->store))) || !(m->k->missing = json_array()) ||
                   !(m->k->returned = json_array())))
        r = err_set(err, ENOMEM, "out of memory");
    return r;
}

/* Not being able to remember stops nothing. */
static void remember(struct meeting *m, const json_t *before)
{
    struct err why = ERR_INIT;
    int r = json_equal(before, m->doc) ? 0 : known_save(m->k, m->doc, &why);

    if (r >= 0 && m->moved)
        r = known_save_addresses(m->k, m->addresses, &why);
    if (r < 0)
        log_warning(m->rq->config.log, "what this host knows of the repository could not be written down: %s", why.text);
}

static int meet(struct meeting *m, struct err *err)
{
    _cleanup_json_ json_t *before = NULL;
    int r = load(m, err);

    if (r >= 0 && !m->fresh && !(before = json_deep_copy(m->doc)))
        r = err_set(err, ENOMEM, "out of memory");
    if (r >= 0)
        r = judge(m, err);
    if (r >= 0 && !m->k->strange)
        r = compare(m, err);
    if (r >= 0)
        r = tell(m, err);
    if (r < 0)
        return r;
    if (!m->k->strange) {
        remember(m, before);
        m->k->doc = TAKE_PTR(m->doc);
    }
    m->rq->known = TAKE_PTR(m->k);
    return 0;
}

int known_meet(struct requester *rq, enum known_use use, struct err *err)
{
    _cleanup_(meeting_clear) struct meeting m = { .rq = rq, .use = use };
    _cleanup_close_ int lock = -1;
    struct err why = ERR_INIT;

    if (known_open(rq, &m.k, &lock, &why) < 0) {
        log_warning(rq->config.log, "this host cannot remember which repositories it has used: %s", why.text);
        return 0;
    }
    int r = meet(&m, &why);
    if (r < 0 && rq->end != REQUESTER_REFUSED && (use == KNOWN_LOOK || use == KNOWN_CHECK)) {
        log_warning(rq->config.log, "%s", why.text);
        return 0;
    }
    return r < 0 ? err_move(err, &why) : 0; /* a file that is damaged may have forbidden to write */
}
