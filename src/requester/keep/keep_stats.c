/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the restore points take, per VM and in total. */
#include "base/guid.h"
#include "requester/repository/repository.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

struct groups {
    char uuid[GUID_LEN + 1];
};

/* The UUID of "vm/UUID/disk/vda". */
static const char *group_of(void *priv, const char *point, const char *meta, const char *stream)
{
    struct groups *g = priv;
    size_t n = strlen(POINT_VM_PREFIX);

    (void)point;
    (void)meta;
    if (strncmp(stream, POINT_VM_PREFIX, n) || strlen(stream) < n + GUID_LEN)
        return NULL;
    memcpy(g->uuid, stream + n, GUID_LEN);
    g->uuid[GUID_LEN] = '\0';
    return guid_parse(g->uuid, NULL) ? g->uuid : NULL;
}

static json_t *usage_entry(const struct store_usage *u)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "points", (json_int_t)u->points, "images", (json_int_t)u->images, "logical",
                     (json_int_t)u->logical, "data", (json_int_t)u->data, "unique", (json_int_t)u->unique, "stored", (json_int_t)u->stored,
                     "exclusive", (json_int_t)u->exclusive);
}

/* { UUID: NAME }: what each VM was called last. */
static int stats_names(struct requester *rq, json_t *ret, struct err *err)
{
    struct store_point_info *list = NULL;
    size_t n = 0, k;
    json_t *vm;

    int r = store_list(rq->store, &list, &n, NULL, err);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        _cleanup_json_ json_t *meta = NULL;
        if (point_meta(list[i].meta, &meta, NULL) < 0)
            continue;
        json_array_foreach (point_vms(meta), k, vm) {
            const struct vm_record_listed l = vm_record_listed(vm);
            if (l.uuid && l.name)
                json_object_set_new(ret, l.uuid, json_text(l.name));
        }
    }
    store_list_free(list, n);
    return r;
}

static json_t *stats_report(const struct store_usage *list, size_t n, const json_t *called)
{
    json_t *vms = json_array();

    for (size_t i = 1; i < n; i++) {
        json_t *e = usage_entry(&list[i]);
        json_object_set_new(e, "uuid", json_text(list[i].group));
        json_object_set_new(e, "name", json_text(json_get_text(called, list[i].group)));
        json_array_append_new(vms, e);
    }
    return json_pack("{s:o, s:o}", "total", n ? usage_entry(&list[0]) : json_null(), "vms", vms);
}

int requester_stats(struct requester *rq, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *called = json_object();
    struct store_usage *list = NULL;
    struct groups groups;
    size_t n = 0;

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = stats_names(rq, called, err);
    if (r >= 0)
        r = store_usage(rq->store, group_of, &groups, &list, &n, err);
    if (r >= 0) {
        *ret = stats_report(list, n, called);
        r = *ret ? 0 : err_nomem(err);
        store_usage_free(list, n);
    }
    return job_end(rq, r, err);
}
