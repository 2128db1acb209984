/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which restore point: the one named, or the newest that holds what is wanted and is not younger than a time. */
#include "base/clock.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

/* The instant that the VMs are of; where that is not told, when the point was finished. */
static int64_t instant_of(const struct store_point_info *p, const json_t *meta)
{
    const char *text = json_get_text(meta, "instant");
    int64_t us;

    return text && clock_parse(text, &us, NULL) >= 0 ? us : p->time_us;
}

int64_t restore_instant(const struct restore *r)
{
    const struct store_point_info p = { .time_us = store_point_time(r->point) };

    return instant_of(&p, r->meta);
}

static bool holds(const json_t *meta, char *const *vms)
{
    for (size_t i = 0; vms && vms[i]; i++)
        if (!point_find_vm(meta, vms[i]))
            return false;
    return true;
}

static int none_found(const struct restore *r, struct err *err)
{
    _cleanup_free_ char *vms = r->job->vms ? strv_join(r->job->vms, ", ") : strdup("");

    return err_set(err, ENOENT, "there is no restore point%s%s%s%s%s", r->job->at ? " as of " : "", r->job->at ? r->job->at : "",
                   r->job->at ? " or earlier" : "", vms && *vms ? " that contains " : "", vms ? vms : "");
}

/* Index of the one that will do and was made last or, where there is a limit, is of the latest instant up to that; or -1. */
static int64_t point_newest(const struct restore *r, const struct store_point_info *list, size_t n, int64_t limit)
{
    int64_t best = -1, best_us = 0;

    for (size_t i = 0; i < n; i++) {
        _cleanup_json_ json_t *meta = NULL;
        if (point_meta(list[i].meta, &meta, NULL) < 0 || !holds(meta, r->job->vms))
            continue;
        int64_t us = instant_of(&list[i], meta);
        if (us > limit || (r->job->at && best >= 0 && us < best_us))
            continue;
        best = (int64_t)i;
        best_us = us;
    }
    return best;
}

void restore_tell_point(const struct restore *r, json_t *report)
{
    const struct store_point_info p = { .time_us = store_point_time(r->point) };
    _cleanup_json_ json_t *meta = NULL;
    char time[32];

    (void)point_meta(store_point_meta(r->point), &meta, NULL);
    int64_t us = instant_of(&p, meta);
    json_object_set_new(report, "instant", json_string(clock_format(us, time)));
    json_object_set_new(report, "age_s", json_integer((clock_wall_us() - us) / 1000000));
}

int restore_choose_point(struct restore *r, struct err *err)
{
    struct store_point_info *list = NULL;
    int64_t limit = INT64_MAX;
    size_t n = 0;

    bool newest_of_vms = r->job->vms && r->job->point && !strcmp(r->job->point, "latest");
    if (r->job->point && !newest_of_vms)
        return store_point_open(r->rq->store, r->job->point, &r->point, err);
    int rc = r->job->at ? clock_parse_local(r->job->at, &limit, err) : 0;
    if (rc >= 0)
        rc = store_list(r->rq->store, &list, &n, NULL, err);
    if (rc < 0)
        return rc;
    int64_t best = point_newest(r, list, n, limit);
    rc = best < 0 ? none_found(r, err) : store_point_open(r->rq->store, list[best].id, &r->point, err);
    store_list_free(list, n);
    return rc;
}
