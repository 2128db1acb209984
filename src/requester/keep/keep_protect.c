/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points that neither a rule nor a name removes. */
#include "base/clock.h"
#include "requester/repository/repository.h"
#include "requester/keep/keep.h"
#include <errno.h>
#include <string.h>

json_t *protection_json(const struct store_protection *p)
{
    char since[32], until[32];

    if (!p)
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "since", json_text(p->damaged ? NULL : clock_format(p->since_us, since)), "until",
                     json_text(p->until_us ? clock_format(p->until_us, until) : NULL), "by", json_text(p->by[0] ? p->by : NULL));
}

int protection_add(struct requester *rq, const char *id, json_t *report, struct err *err)
{
    _cleanup_free_ struct store_protection *list = NULL;
    size_t n = 0;
    int r = store_protections(rq->store, &list, &n, err);

    return r < 0 ? r : json_object_set_new(report, "protected", protection_json(store_protection_find(list, n, id)));
}

/* One whose file the storage has lost can be named too, by its whole id, to be let go. */
static int protect_resolve(struct requester *rq, const char *name, bool off, char ret[static STORE_ID_LEN + 1], struct err *err)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;
    struct err why = ERR_INIT;
    int r = store_point_open(rq->store, name, &p, &why);

    if (r < 0 && !(off && strlen(name) == STORE_ID_LEN && (r == -ENOENT || r == -EUCLEAN)))
        return err_move(err, &why);
    snprintf(ret, STORE_ID_LEN + 1, "%s", p ? store_point_id(p) : name);
    return 0;
}

static int read_until(const char *text, int64_t *ret, struct err *err)
{
    int64_t until = 0;
    int r = text ? clock_parse_local(text, &until, err) : 0;

    if (r < 0)
        return err_context(err, "--until");
    if (text && until <= clock_wall_us())
        return err_set(err, EINVAL, "--until %s: that is in the past", text);
    *ret = until;
    return 0;
}

static int protect(struct requester *rq, const struct requester_protect *job, json_t *points, struct err *err)
{
    _cleanup_strv_ char **ids = NULL;
    int64_t until = 0;
    int r = read_until(job->until, &until, err);

    for (char *const *name = job->points; r >= 0 && *name; name++) {
        char id[STORE_ID_LEN + 1];
        r = protect_resolve(rq, *name, job->off, id, err);
        if (r >= 0 && !strv_has(ids, id) && strv_add(&ids, id) < 0)
            r = err_nomem(err);
    }
    for (char *const *id = ids; r >= 0 && id && *id; id++) {
        r = job->off ? store_unprotect(rq->store, *id, err) : store_protect(rq->store, *id, until, err);
        _cleanup_json_ json_t *entry = json_pack("{s:s}", "id", *id);
        if (r >= 0)
            r = protection_add(rq, *id, entry, err);
        if (r >= 0)
            json_array_append(points, entry);
    }
    return r;
}

int requester_protect(struct requester *rq, const struct requester_protect *job, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *points = json_array();

    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, KNOWN_CHANGE, err);
    if (r >= 0)
        r = protect(rq, job, points, err);
    if (r >= 0 && !(*ret = json_pack("{s:O}", "points", points)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}
