/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads back and verifies what the repository holds, and says which VMs damage touches. */
#include "base/guid.h"
#include "requester/internal.h"
#include "requester/point.h"
#include <errno.h>
#include <string.h>

#define LISTED_MAX 1000

void problems_note(void *priv, const struct store_problem *p)
{
    json_t *list = priv;

    if (json_array_size(list) < LISTED_MAX)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:n}", "what", json_text(p->what), "point", json_text(p->point),
                                              "name", json_text(p->name), "vm"));
}

/* The listing of a point, read once; null where it cannot be read. Borrowed. */
static json_t *listing(struct requester *rq, json_t *listings, const char *point)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;
    json_t *meta = json_object_get(listings, point);
    struct err ignored = ERR_INIT; /* that the point is damaged is what the findings say */

    if (meta)
        return meta;
    if (store_point_open(rq->store, point, &p, &ignored) < 0 || point_meta(store_point_meta(p), &meta, &ignored) < 0)
        meta = json_null();
    json_object_set_new(listings, point, meta);
    return meta;
}

/* The VM of "vm/UUID/disk/vda", as its point lists it. */
static const char *vm_of(const json_t *meta, const char *name)
{
    char uuid[GUID_LEN + 1];

    if (strncmp(name, POINT_VM_PREFIX, strlen(POINT_VM_PREFIX)) || strlen(name) < strlen(POINT_VM_PREFIX) + GUID_LEN)
        return NULL;
    memcpy(uuid, name + strlen(POINT_VM_PREFIX), GUID_LEN);
    uuid[GUID_LEN] = '\0';
    return json_get_text(point_find_vm(meta, uuid), "name");
}

void problems_name_vms(struct requester *rq, json_t *problems)
{
    _cleanup_json_ json_t *listings = json_object();
    size_t i;
    json_t *p;

    json_array_foreach (problems, i, p) {
        const char *point = json_get_text(p, "point"), *name = json_get_text(p, "name");
        if (point && name)
            json_object_set_new(p, "vm", json_text(vm_of(listing(rq, listings, point), name)));
    }
}

static int verify(struct requester *rq, const char *id, json_t **ret, struct err *err)
{
    json_t *problems = json_array();
    uint64_t count = 0;

    int r = store_verify(rq->store, id, problems_note, problems, rq->config.cancel, &count, err);
    if (r < 0) {
        json_decref(problems);
        return r;
    }
    problems_name_vms(rq, problems);
    *ret = json_pack("{s:o, s:o, s:I}", "point", json_text(id), "problems", problems, "count", (json_int_t)count);
    if (!*ret)
        return err_set(err, ENOMEM, "out of memory");
    rq->end = count ? REQUESTER_DAMAGED : REQUESTER_DONE;
    return 0;
}

int requester_verify(struct requester *rq, const char *point, json_t **ret, struct err *err)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0 && point) /* the id in full, of a prefix or "latest" */
        r = store_point_open(rq->store, point, &p, err);
    if (r >= 0)
        r = verify(rq, p ? store_point_id(p) : NULL, ret, err);
    return job_end(rq, r, err);
}
