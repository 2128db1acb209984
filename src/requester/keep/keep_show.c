/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that a restore point records. */
#include "base/clock.h"
#include "requester/trust/trust.h"
#include "requester/repository/repository.h"
#include "requester/keep/keep.h"
#include "requester/point/stored_point.h"
#include <errno.h>

static int add_details(struct store_point *p, json_t *report, struct err *err)
{
    json_t *details = json_array(), *vm;
    size_t i;

    json_object_set_new(report, "details", details);
    json_array_foreach (point_vms(report), i, vm) {
        const char *uuid = vm_record_listed(vm).uuid;
        _cleanup_vm_record_ struct vm_record record = { 0 };
        json_t *demands = NULL, *detail;
        if (!uuid)
            return err_set(err, EUCLEAN, "the summary of the restore point has an invalid VM entry");
        int r = point_read_vm(p, uuid, &record, err);
        if (r < 0)
            return err_context(err, "VM %s", uuid);
        if ((r = demands_of_record(p, &record, &demands, err)) < 0)
            return err_context(err, "VM %s", uuid);
        detail = vm_record_to_json(&record);
        json_object_set_new(detail, "demands", demands);
        if (json_array_append_new(details, detail) < 0)
            return err_nomem(err);
    }
    return 0;
}

static int add_contents(struct store_point *p, json_t *report, struct err *err)
{
    json_t *images = json_array();

    json_object_set_new(report, "documents", json_strv(store_point_documents(p)));
    json_object_set_new(report, "images", images);
    for (char *const *name = store_point_images(p); name && *name; name++) {
        _cleanup_(store_image_close_p) struct store_image *image = NULL;
        int r = store_image_open(p, *name, &image, err);
        if (r < 0)
            return err_context(err, "image %s", *name);
        json_array_append_new(images, json_pack("{s:s, s:I}", "name", *name, "size", (json_int_t)store_image_size(image)));
    }
    return 0;
}

int requester_show(struct requester *rq, const char *point, json_t **ret, struct err *err)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;
    _cleanup_json_ json_t *report = NULL;
    char time[32];

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = store_point_open(rq->store, point, &p, err);
    if (r >= 0)
        r = point_meta(store_point_meta(p), &report, err);
    if (r >= 0) {
        json_object_set_new(report, "id", json_string(store_point_id(p)));
        json_object_set_new(report, "time", json_string(clock_format(store_point_time(p), time)));
        r = add_details(p, report, err);
    }
    if (r >= 0)
        r = protection_add(rq, store_point_id(p), report, err);
    if (r >= 0)
        r = add_contents(p, report, err);
    if (r >= 0)
        *ret = TAKE_PTR(report);
    return job_end(rq, r, err);
}
