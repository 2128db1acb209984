/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a repository is the one that this host knows, and whether all that it should hold is in it. */
#include "requester/repository/known_meet.h"
#include <errno.h>
#include <string.h>

static void meeting_clear(struct meeting *m)
{
    json_decref(m->doc);
    json_decref(m->addresses);
    free(m->address);
    free(m->ids);
    known_free(m->k);
}

/* ---- Is it the one? -----------------------------------------------------------------------------------------------------------*/

static bool meet_list_has(const json_t *list, const char *s)
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

    m->moved = !meet_list_has(here, store_guid(m->rq->store));
    if (!m->fresh && is_encrypted(m->doc) && !encrypted)
        return "it was encrypted, and the one found there is not";
    if (!m->fresh && is_other_key(m))
        return "its master key has changed";
    if (!m->fresh && json_get_u64(m->doc, "generation") > store_generation(m->rq->store))
        return "its list of keys was replaced by an older one";
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
        json_object_del(m->doc, "hosts");
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
    return r < 0 ? err_nomem(err) : 0;
}

int meeting_refuse(struct meeting *m, struct err *err)
{
    m->rq->end = REQUESTER_REFUSED;
    err->code = EPERM;
    return -EPERM;
}

static int meet_judge(struct meeting *m, struct err *err)
{
    const char *strange = what_is_strange(m);

    if (!strange || m->use == KNOWN_FOUNDED || m->rq->config.accept_new_repository)
        return acknowledge(m, strange, err);
    err_set(err, EPERM, "%s is not the repository that this host knows there: %s. If it is the right one, use --accept-new-repository once",
            m->address, strange);
    if (!(m->k->strange = strdup(err->text)))
        return err_nomem(err);
    return m->use == KNOWN_LOOK || m->use == KNOWN_CHECK ? 0 : meeting_refuse(m, err);
}

/* ---- The meeting --------------------------------------------------------------------------------------------------------------*/

static int meet_load(struct meeting *m, struct err *err)
{
    int r = known_load(m->k, &m->doc, err);

    m->fresh = r > 0;
    if (r >= 0)
        r = known_load_addresses(m->k, &m->addresses, err);
    if (r >= 0)
        r = store_fingerprint(m->rq->store, m->key, err);
    if (r >= 0 && (!(m->address = known_address(store_location(m->rq->store))) || !(m->k->missing = json_array()) ||
                   !(m->k->returned = json_array()) || !(m->k->unsigned_points = json_array()) || !(m->k->unfinished = json_array()) ||
                   !(m->k->cut = json_array()) || !(m->k->notes = json_array())))
        r = err_nomem(err);
    return r;
}

/* Not being able to remember stops nothing. */
static void meet_remember(struct meeting *m, const json_t *before)
{
    struct err why = ERR_INIT;
    int r = json_equal(before, m->doc) ? 0 : known_save(m->k, m->doc, &why);

    if (r >= 0 && m->moved)
        r = known_save_addresses(m->k, m->addresses, &why);
    if (r < 0)
        log_warning(m->rq->config.log, "cannot save what this host knows about the repository: %s", why.text);
}

static int meet_meet(struct meeting *m, struct err *err)
{
    _cleanup_json_ json_t *before = NULL;
    int r = meet_load(m, err);

    if (r >= 0 && !m->fresh && !(before = json_deep_copy(m->doc)))
        r = err_nomem(err);
    if (r >= 0)
        r = meet_judge(m, err);
    if (r >= 0 && !m->k->strange)
        r = meeting_hosts(m, err);
    if (r >= 0 && !m->k->strange)
        r = meeting_points(m, err);
    if (r >= 0)
        r = meeting_tell(m, err);
    if (r < 0)
        return r;
    if (!m->k->strange) {
        meet_remember(m, before);
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
    int r = meet_meet(&m, &why);
    if (r < 0 && rq->end != REQUESTER_REFUSED && (use == KNOWN_LOOK || use == KNOWN_CHECK)) {
        log_warning(rq->config.log, "%s", why.text);
        return 0;
    }
    return r < 0 ? err_move(err, &why) : 0; /* a file that is damaged may have forbidden to write */
}
