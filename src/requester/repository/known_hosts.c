/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hosts that have signed the catalogue of a repository, and what is missing of their chains. A host's key is believed when it is seen
 * for the first time, and from then on; but not under a name that belongs to another key. */
#include "requester/repository/known_meet.h"
#include <errno.h>
#include <string.h>

static json_t *hosts_of(const struct meeting *m)
{
    return json_object_get(m->doc, "hosts");
}

/* ---- What this host remembers ----------------------------------------------------------------------------------------------------*/

static size_t remembered(const json_t *hosts, struct store_head *ret)
{
    const char *key;
    size_t n = 0;
    json_t *h;

    json_object_foreach ((json_t *)(uintptr_t)hosts, key, h) {
        struct store_head *head = &ret[n];
        if (json_is_true(json_object_get(h, "doubted")))
            continue;
        snprintf(head->key, sizeof(head->key), "%s", key);
        snprintf(head->id, sizeof(head->id), "%s", json_get_text(h, "head") ? json_get_text(h, "head") : "");
        head->seq = json_get_u64(h, "seq");
        head->waived = json_get_u64(h, "waived");
        n++;
    }
    return n;
}

/* A catalogue that cannot be read stops nothing but a prune. */
static int read_catalogue(struct meeting *m, struct err *err)
{
    _cleanup_free_ struct store_head *heads = calloc(json_object_size(hosts_of(m)) + 1, sizeof(*heads));
    struct err why = ERR_INIT;

    if (!heads)
        return err_nomem(err);
    int r = store_catalogue_read(m->rq->store, heads, remembered(hosts_of(m), heads), &m->k->catalogue, &why);
    if (r == -ENOMEM)
        return err_move(err, &why);
    if (r < 0)
        json_array_append_new(m->k->cut, json_text(why.text));
    return 0;
}

static void load_key(struct meeting *m)
{
    struct err why = ERR_INIT;

    if (host_key_load(m->k, false, &m->k->key, &why) < 0)
        log_warning(m->rq->config.log, "this host cannot sign its changes to the repository: %s", why.text);
}

static bool hosts_is_own(const struct meeting *m, const char *key)
{
    return m->k->key && !strcmp(store_host_key_id(m->k->key), key);
}

/* ---- Whom to believe -------------------------------------------------------------------------------------------------------------*/

static bool name_is_taken(const struct meeting *m, const char *name)
{
    const char *key;
    json_t *h;

    json_object_foreach (hosts_of(m), key, h)
        if (!json_is_true(json_object_get(h, "doubted")) && !strcmp(json_get_text(h, "name"), name))
            return true;
    return false;
}

static int hosts_note(json_t *list, char *text)
{
    int r = text ? json_array_append_new(list, json_text(text)) : -1;

    free(text);
    return r;
}

/* `first`: this host has never seen a catalogue there, and trusts what it finds. */
static int meet_host(struct meeting *m, struct store_host *h, bool first)
{
    json_t *e = json_object_get(hosts_of(m), h->key);
    int r = 0;

    if (h->outdated)
        return hosts_note(
            m->k->notes,
            str_format("host %s (key %.16s) has signed only under a master key that has since been rotated out: it is not trusted", h->name,
                       h->key));
    if (!e) {
        bool doubted = !first && !hosts_is_own(m, h->key) && name_is_taken(m, h->name);
        e = json_pack("{s:s}", "name", h->name);
        if (doubted)
            json_object_set_new(e, "doubted", json_true());
        r = json_object_set_new(hosts_of(m), h->key, e);
        if (!first && !doubted && !hosts_is_own(m, h->key))
            r |= hosts_note(m->k->notes,
                            str_format("a host that was not known before signs restore points: %s, key %.16s", h->name, h->key));
    }
    if (m->rq->config.accept_host_keys)
        json_object_del(e, "doubted");
    h->ignored = json_is_true(json_object_get(e, "doubted"));
    if (h->ignored)
        r |= hosts_note(
            m->k->notes,
            str_format("someone signs in the name of host %s with a key (%.16s) that the host did not have before: the host was "
                       "reinstalled, or this is someone else. The key is not trusted. If it is legitimate, use --accept-host-keys once",
                       h->name, h->key));
    if (h->forked && !h->ignored)
        r |= hosts_note(m->k->notes, str_format("two hosts sign with the key of host %s (%.16s): one is a copy of the other, including the "
                                                "state of kvss. Remove host.key from the state folder of one of them",
                                                h->name, h->key));
    return r;
}

static int meet_all(struct meeting *m)
{
    bool first = !hosts_of(m);
    struct store_host *list;
    size_t n = 0;
    int r = 0;

    if (first && json_object_set_new(m->doc, "hosts", json_object()) < 0)
        return -1;
    list = store_catalogue_hosts(m->k->catalogue, &n);
    for (size_t i = 0; i < n && r >= 0; i++)
        r = meet_host(m, &list[i], first);
    if (n == 0 && first)
        json_object_del(m->doc, "hosts"); /* it has still to begin */
    return r;
}

/* ---- What is missing of it ---------------------------------------------------------------------------------------------------------*/

static int note_cut(struct meeting *m, const struct store_cut *cut)
{
    const char *name = cut->name[0] ? cut->name : json_get_text(json_object_get(hosts_of(m), cut->key), "name");
    char have[80] = "all of its entries are missing";

    if (cut->have)
        snprintf(have, sizeof(have), "its entries end at, or have a gap before, number %llu", (unsigned long long)cut->have);
    char *text = str_format("the catalogue is truncated: %s has seen entry number %llu signed by host %s (key %.16s), but %s. The storage "
                            "was rolled back or is hiding data. If this is expected, use --accept-rollback once",
                            cut->by[0] ? cut->by : "this host", (unsigned long long)cut->seq, name ? name : "?", cut->key, have);
    int r = text ? json_array_insert_new(m->k->cut, hosts_is_own(m, cut->key) ? 0 : json_array_size(m->k->cut), json_text(text)) : -1;

    m->k->rolled_back |= hosts_is_own(m, cut->key);
    free(text);
    return r;
}

/* Up to there nothing is missed any more. */
static int waive(struct meeting *m, const struct store_cut *cut)
{
    json_t *e = json_object_get(hosts_of(m), cut->key);
    int r = 0;

    if (!e)
        r = json_object_set_new(hosts_of(m), cut->key, e = json_pack("{s:s}", "name", cut->name));
    return r | json_object_set_new(e, "waived", json_integer((json_int_t)cut->seq));
}

static int look_for_cuts(struct meeting *m)
{
    const bool accept = m->rq->config.accept_rollback;
    size_t n = 0, junk = store_catalogue_unreadable(m->k->catalogue);
    const struct store_cut *cuts = store_catalogue_cuts(m->k->catalogue, &n);
    int r = 0;

    for (size_t i = 0; i < n && r >= 0; i++)
        r = accept ? waive(m, &cuts[i]) : note_cut(m, &cuts[i]);
    if (junk && !accept && r >= 0)
        r = hosts_note(m->k->cut, str_format("catalogue objects damaged or wrongly signed: %zu; what they recorded about restore points is "
                                             "lost. kvss prune --accept-rollback removes them",
                                             junk));
    return r;
}

/* The newest entry of each chain. One that has become shorter stays remembered as it was. */
static int remember_heads(struct meeting *m)
{
    size_t n = 0;
    const struct store_host *list = store_catalogue_hosts(m->k->catalogue, &n);
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        json_t *e = json_object_get(hosts_of(m), list[i].key);
        if (list[i].ignored || !e || list[i].seq <= json_get_u64(e, "seq"))
            continue;
        r |= json_object_set_new(e, "name", json_string(list[i].name));
        r |= json_object_set_new(e, "seq", json_integer((json_int_t)list[i].seq));
        r |= json_object_set_new(e, "head", json_string(list[i].head));
    }
    return r;
}

int meeting_hosts(struct meeting *m, struct err *err)
{
    int r = store_version(m->rq->store) >= 2 ? read_catalogue(m, err) : 0;

    if (r < 0 || !m->k->catalogue)
        return r;
    load_key(m);
    if (meet_all(m) < 0)
        return err_nomem(err);
    r = store_catalogue_judge(m->k->catalogue, err);
    if (r >= 0 && (look_for_cuts(m) < 0 || remember_heads(m) < 0))
        r = err_nomem(err);
    return r;
}
