/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/keep/findings.h"
#include "base/clock.h"
#include "requester/context/context.h"
#include "requester/point/stored_point.h"
#include <errno.h>
#include <string.h>

#define LISTED_MAX 1000

int findings_begin(struct findings *f, struct err *err)
{
    f->problems = json_array();
    f->touched = json_object();
    f->warnings = json_array();
    return f->problems && f->warnings && f->touched ? 0 : err_nomem(err);
}

void findings_clear(struct findings *f)
{
    json_decref(f->problems);
    json_decref(f->touched);
    json_decref(f->warnings);
    *f = (struct findings){ 0 };
}

void findings_note(void *priv, const struct store_problem *p)
{
    struct findings *f = priv;

    if (p->warning) {
        json_array_append_new(f->warnings, json_text(p->what));
        return;
    }
    if (json_array_size(f->problems) < LISTED_MAX)
        json_array_append_new(f->problems, json_pack("{s:o, s:o, s:o, s:n}", "what", json_text(p->what), "point", json_text(p->point),
                                                     "name", json_text(p->name), "vm"));
    if (!p->point)
        return;
    json_t *names = json_object_get(f->touched, p->point);
    if (!names && json_object_set_new(f->touched, p->point, names = json_object()) < 0)
        return;
    if (p->name)
        json_object_set_new(names, p->name, json_true());
}

/* Whether "vm/UUID/disk/vda" belongs to the VM. */
static bool findings_is_of(const char *name, const char *uuid)
{
    size_t n = strlen(POINT_VM_PREFIX);

    return uuid && !strncmp(name, POINT_VM_PREFIX, n) && !strncasecmp(name + n, uuid, strlen(uuid)) && name[n + strlen(uuid)] == '/';
}

/* The VMs of a point with what is damaged of each. */
static json_t *vm_list(const json_t *meta, json_t *names)
{
    json_t *vms = json_array(), *vm, *value;
    const char *name;
    size_t i;

    json_array_foreach (point_vms(meta), i, vm) {
        const struct vm_record_listed l = vm_record_listed(vm);
        json_t *damaged = json_array();
        json_object_foreach (names, name, value)
            if (findings_is_of(name, l.uuid))
                json_array_append_new(damaged, json_string(strchr(name + strlen(POINT_VM_PREFIX), '/') + 1));
        json_array_append_new(vms, json_pack("{s:o, s:o, s:o}", "name", json_text(l.name), "uuid", json_text(l.uuid), "damaged", damaged));
    }
    return vms;
}

/* What is damaged and belongs to no VM: the service's documents, files of other writers. */
static json_t *other_list(const json_t *meta, json_t *names)
{
    json_t *other = json_array(), *vm, *value;
    const char *name;
    size_t i;

    json_object_foreach (names, name, value) {
        bool taken = false;
        json_array_foreach (point_vms(meta), i, vm)
            taken |= findings_is_of(name, vm_record_listed(vm).uuid);
        if (!taken)
            json_array_append_new(other, json_string(name));
    }
    return other;
}

/* Each finding about this point gets the name of its VM. */
static void name_vms(json_t *problems, const char *point, const json_t *meta)
{
    json_t *p, *vm;
    size_t i, k;

    json_array_foreach (problems, i, p) {
        const char *of = json_get_text(p, "point"), *name = json_get_text(p, "name");
        if (!of || !name || strcmp(of, point))
            continue;
        json_array_foreach (point_vms(meta), k, vm)
            if (findings_is_of(name, vm_record_listed(vm).uuid))
                json_object_set_new(p, "vm", json_text(vm_record_listed(vm).name));
    }
}

static void add_damaged(const struct findings *f, const struct store_point_info *point, json_t *names, json_t *damaged)
{
    _cleanup_json_ json_t *meta = NULL;
    char time[32];

    clock_format(point->time_us, time);
    struct err ignored = ERR_INIT;
    (void)point_meta(point->meta, &meta, &ignored); /* one that kvss backup did not make holds no VMs */
    json_array_append_new(damaged, json_pack("{s:s, s:s, s:o, s:o}", "id", point->id, "time", time, "vms", vm_list(meta, names), "other",
                                             other_list(meta, names)));
    name_vms(f->problems, point->id, meta);
}

/* Points that cannot be read are in no listing. */
static void add_unreadable(const struct findings *f, const struct store_point_info *list, size_t n, json_t *damaged)
{
    const char *id;
    json_t *names;

    json_object_foreach (f->touched, id, names) {
        size_t i = 0;
        while (i < n && strcmp(list[i].id, id))
            i++;
        if (i == n)
            json_array_append_new(damaged, json_pack("{s:s, s:n, s:n, s:n}", "id", id, "time", "vms", "other"));
    }
}

int findings_report(struct requester *rq, const struct findings *f, const char *only, json_t *report, struct err *err)
{
    json_t *damaged = json_array(), *whole = json_array();
    struct store_point_info *list = NULL;
    size_t n = 0;

    if (json_object_set_new(report, "damaged", damaged) < 0 || json_object_set_new(report, "whole", whole) < 0 ||
        json_object_set(report, "problems", f->problems) < 0 || json_object_set(report, "warnings", f->warnings) < 0)
        return err_nomem(err);
    int r = store_list(rq->store, &list, &n, NULL, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        json_t *names = json_object_get(f->touched, list[i].id);
        if (only && strcmp(only, list[i].id))
            continue;
        if (names)
            add_damaged(f, &list[i], names, damaged);
        else
            json_array_append_new(whole, json_string(list[i].id));
    }
    add_unreadable(f, list, n, damaged);
    store_list_free(list, n);
    return 0;
}
