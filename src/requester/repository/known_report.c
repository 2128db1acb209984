/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does not agree with what this host remembers, and with what hosts have signed: in words, and in reports. */
#include "base/clock.h"
#include "base/num.h"
#include "requester/repository/known_meet.h"
#include <errno.h>
#include <string.h>

#define NAMED_MAX 3

/* ---- In words -----------------------------------------------------------------------------------------------------------------*/

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

/* Without a catalogue nobody knows what other hosts have done. */
static const char *missing_why(const struct known *k)
{
    return k->catalogue ? "no host signed for removing" : "this host did not remove";
}

int known_missing_text(const struct known *k, bool untold_only, struct buf *ret)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    size_t n = 0;

    int r = name_them(k->missing, untold_only && !k->rolled_back, &names, &n);
    if (r < 0 || n == 0)
        return r;
    return buf_addf(
        ret,
        "%zu restore point%s known to this host %s no longer in the repository (%s), and %s %s%s. If this is expected, "
        "because %sthe repository was restored from a copy, use --accept-rollback once",
        n, num_s(n), num_word(n, "is", "are"), (char *)names.data, missing_why(k), num_word(n, "it", "them"),
        k->rolled_back ? "; this includes the newest one made by this host: the repository was rolled back, or part of it is missing" : "",
        k->catalogue ? "" : "another host removed them or ");
}

int known_returned_text(const struct known *k, struct buf *ret)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    size_t n = 0;

    int r = name_them(k->returned, false, &names, &n);
    if (r < 0 || n == 0)
        return r;
    return buf_addf(ret,
                    "%zu restore point%s that %s forgotten %s in the repository again (%s): run kvss forget on %s again or, if "
                    "this is expected, use --accept-rollback",
                    n, num_s(n), k->catalogue ? num_word(n, "was", "were") : "this host has", num_word(n, "is", "are"), (char *)names.data,
                    num_word(n, "it", "them"));
}

int known_unsigned_text(const struct known *k, bool untold_only, struct buf *ret)
{
    _cleanup_buf_ struct buf names = BUF_INIT;
    size_t n = 0;

    int r = name_them(k->unsigned_points, untold_only, &names, &n);
    if (r < 0 || n == 0)
        return r;
    return buf_addf(
        ret,
        "no host has signed %zu restore point%s (%s): created by a backup that was killed at the very end, or by "
        "someone who has the key of the repository but is not one of its hosts. Examine with kvss show, then run kvss forget on "
        "%s, or accept with --accept-rollback",
        n, num_s(n), (char *)names.data, num_word(n, "it", "them"));
}

/* ---- Warnings -----------------------------------------------------------------------------------------------------------------*/

static void mark_told(struct meeting *m)
{
    const struct {
        const json_t *list;
        const char *as;
    } lists[] = {
        { m->k->missing, "told" },
        { m->k->unsigned_points, "unsigned_told" },
    };
    json_t *item;
    size_t i;

    for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
        json_array_foreach (lists[k].list, i, item)
            json_object_set_new(json_object_get(json_object_get(m->doc, "points"), json_get_text(item, "id")), lists[k].as, json_true());
}

static void warn_all(const struct log *log, const json_t *texts)
{
    json_t *text;
    size_t i;

    json_array_foreach (texts, i, text)
        log_warning(log, "%s", json_string_value(text));
}

/* Why nothing may be written: the newest of this host's points is missing, or of its entries. */
static int refuse_rollback(struct meeting *m, const struct buf *missing, struct err *err)
{
    if (missing->len)
        err_set(err, EPERM, "%s", (const char *)missing->data);
    else
        err_set(err, EPERM, "%s", json_string_value(json_array_get(m->k->cut, 0)));
    return meeting_refuse(m, err);
}

static bool changes(const struct meeting *m)
{
    return m->use == KNOWN_CHANGE || m->use == KNOWN_REHEARSE;
}

int meeting_tell(struct meeting *m, struct err *err)
{
    _cleanup_buf_ struct buf missing = BUF_INIT, returned = BUF_INIT, of_nobody = BUF_INIT;
    const struct log *log = m->rq->config.log;

    if (m->use == KNOWN_CHECK)
        return 0;
    if (known_missing_text(m->k, true, &missing) < 0 || known_returned_text(m->k, &returned) < 0 ||
        known_unsigned_text(m->k, changes(m), &of_nobody) < 0)
        return err_nomem(err);
    if (m->k->strange)
        log_warning(log, "%s", m->k->strange);
    warn_all(log, m->k->notes);
    if (changes(m) && m->k->rolled_back)
        return refuse_rollback(m, &missing, err);
    warn_all(log, m->k->cut);
    if (missing.len)
        log_warning(log, "%s", (char *)missing.data);
    if (returned.len)
        log_warning(log, "%s", (char *)returned.data);
    if (of_nobody.len)
        log_warning(log, "%s", (char *)of_nobody.data);
    if (m->use == KNOWN_CHANGE)
        mark_told(m);
    return 0;
}

/* ---- Reports ------------------------------------------------------------------------------------------------------------------*/

static json_t *host_entry(const struct known *k, const struct store_host *h)
{
    char time[32];

    return json_pack("{s:o, s:s, s:b, s:b, s:I, s:I, s:I, s:s, s:s}", "name", json_text(h->name), "key", h->key, "this_host",
                     k->key && !strcmp(store_host_key_id(k->key), h->key), "believed", !h->ignored, "points", (json_int_t)h->points,
                     "entries", (json_int_t)h->entries, "last", (json_int_t)h->seq, "head", h->head, "time",
                     clock_format(h->time_us, time));
}

static json_t *catalogue_entry(const struct known *k)
{
    json_t *hosts = json_array();
    size_t n = 0;

    if (!k || !k->catalogue) {
        json_decref(hosts);
        return json_null();
    }
    const struct store_host *list = store_catalogue_hosts(k->catalogue, &n);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(hosts, host_entry(k, &list[i]));
    return json_pack("{s:o, s:O, s:O}", "hosts", hosts, "cut", k->cut, "notes", k->notes);
}

static json_t *ids_of(const json_t *list)
{
    json_t *ids = json_array(), *item;
    size_t i;

    json_array_foreach (list, i, item)
        json_array_append(ids, json_object_get(item, "id"));
    return ids;
}

int known_report(const struct requester *rq, json_t *report, struct err *err)
{
    const struct known *k = rq->known;
    json_t *returned = json_array();

    if (k)
        json_array_extend(returned, k->returned);
    int r = json_object_set_new(report, "missing", ids_of(k ? k->missing : NULL));
    r |= json_object_set_new(report, "returned", returned);
    r |= json_object_set_new(report, "unsigned", ids_of(k ? k->unsigned_points : NULL));
    r |= json_object_set_new(report, "catalogue", catalogue_entry(k));
    return r < 0 ? err_nomem(err) : 0;
}

bool known_is_short(const struct requester *rq)
{
    const struct known *k = rq->known;

    return k && (k->rolled_back || k->lost || json_array_size(k->cut));
}

int known_refuse_prune(struct requester *rq, struct err *err)
{
    _cleanup_buf_ struct buf missing = BUF_INIT;
    const struct known *k = rq->known;

    if (!k || (!k->lost && !json_array_size(k->cut)))
        return 0;
    if (known_missing_text(k, false, &missing) < 0)
        return err_nomem(err);
    rq->end = REQUESTER_REFUSED;
    return err_set(err, EPERM, "nothing is deleted while restore points may only be temporarily invisible: %s",
                   missing.len ? (char *)missing.data : json_string_value(json_array_get(k->cut, 0)));
}
