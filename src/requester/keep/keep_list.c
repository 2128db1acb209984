/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is: writers, providers, VMs, restore points. Nothing is touched. */
#include "base/clock.h"
#include "requester/repository/repository.h"
#include "requester/point/stored_point.h"
#include "requester/keep/keep.h"
#include "requester/session/session.h"
#include <errno.h>
#include <fnmatch.h>

static int list_give(json_t *report, json_t **ret, struct err *err)
{
    if (!report)
        return err_nomem(err);
    *ret = report;
    return 0;
}

/* ---- Writers --------------------------------------------------------------------------------------------------------------*/

static json_t *component_list(const struct vss_writer_info *w)
{
    json_t *list = json_array();

    for (size_t i = 0; w && i < w->n_components; i++) {
        const struct vss_component_info *c = &w->components[i];
        json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "logical_path", json_text(c->logical_path ? c->logical_path : ""), "name",
                                              c->name, "caption", json_text(c->caption)));
    }
    return list;
}

static int writer_list(struct session *s, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *list = json_array();

    for (size_t i = 0; i < vss_writer_status_count(s->vss); i++) {
        struct vss_writer_status st;
        int r = vss_get_writer_status(s->vss, i, &st, err);
        if (r < 0)
            return r;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:s, s:I, s:s, s:o}", "name", st.name, "id", st.id, "instance_id",
                                              st.instance_id, "state", (int)st.state, "state_name", vss_state_name(st.state), "error",
                                              (json_int_t)st.hresult, "error_text", vss_error_text(st.hresult), "components",
                                              component_list(vss_writer_find(s->vss, st.id))));
    }
    for (size_t i = 0; i < vss_left_out_count(s->vss); i++) {
        struct vss_left_out_writer w = vss_left_out_get(s->vss, i);
        log_warning(s->rq->config.log, "writer %s (%s) failed to identify itself and is skipped: %s", w.name, w.id,
                    w.text ? w.text : "no reason given");
    }
    return list_give(json_pack("{s:O}", "writers", list), ret, err);
}

int requester_list_writers(struct requester *rq, json_t **ret, struct err *err)
{
    struct session_options o = { 0 };
    struct session *s = NULL;

    rq->end = REQUESTER_DONE;
    int r = session_open(rq, &o, &s, err);
    if (r >= 0)
        r = vss_initialize_for_backup(s->vss, err);
    if (r >= 0)
        r = vss_set_backup_state(s->vss, true, false, VSS_BT_COPY, false, err);
    if (r >= 0)
        r = vss_gather_writer_metadata(s->vss, err);
    if (r >= 0)
        r = vss_gather_writer_status(s->vss, err);
    if (r >= 0)
        r = writer_list(s, ret, err);
    session_close(s, NULL);
    return job_end(rq, r, err);
}

/* ---- Providers ------------------------------------------------------------------------------------------------------------*/

static const char *type_name(enum kvss_provider_type t)
{
    return t == KVSS_PROV_SYSTEM ? "system" : t == KVSS_PROV_HARDWARE ? "hardware" : "software";
}

static json_t *list_provider(struct session *s, size_t i)
{
    const struct vss_provider_info p = vss_provider_get(s->service, i);
    _cleanup_free_ char *why_not = NULL;
    struct err why = ERR_INIT;
    struct kvss_room room = { 0 };

    bool usable = vss_provider_check_health(s->service, i, &why_not, &why) >= 0 && !why_not;
    bool known = vss_provider_free_room(s->service, i, NULL, &room, NULL) >= 0;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "name", p.name, "id", p.id, "version", p.version, "type",
                          type_name(p.type), "file", json_text(providers_file(s->providers, p.id)), "usable", (int)usable, "why_not",
                          json_text(why_not    ? why_not
                                    : why.code ? why.text
                                               : NULL),
                          "free", known ? json_integer((json_int_t)room.free_bytes) : json_null(), "total",
                          known ? json_integer((json_int_t)room.total_bytes) : json_null(), "place", json_text(room.place));
    free(room.place);
    return o;
}

int requester_list_providers(struct requester *rq, json_t **ret, struct err *err)
{
    struct session_options o = { 0 };
    struct session *s = NULL;
    json_t *list = json_array(), *not_used = json_array();
    const char *file, *why;

    rq->end = REQUESTER_DONE;
    int r = session_open(rq, &o, &s, err);
    for (size_t i = 0; r >= 0 && i < vss_provider_count(s->service); i++)
        json_array_append_new(list, list_provider(s, i));
    for (size_t i = 0; r >= 0 && providers_refused(s->providers, i, &file, &why); i++)
        json_array_append_new(not_used, json_pack("{s:o, s:o}", "file", json_text(file), "why", json_text(why)));
    if (r >= 0)
        r = list_give(json_pack("{s:O, s:O}", "providers", list, "not_used", not_used), ret, err);
    json_decref(list);
    json_decref(not_used);
    session_close(s, NULL);
    return job_end(rq, r, err);
}

/* ---- VMs ------------------------------------------------------------------------------------------------------------------*/

static json_t *list_vm_entry(struct hv *hv, const struct hv_domain *d)
{
    _cleanup_strv_ char **tags = NULL;
    json_t *disks = json_array();

    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_disk *k = &d->disks[i];
        json_array_append_new(disks, json_pack("{s:s, s:o, s:s, s:I}", "target", k->target, "path", json_text(k->locator), "format",
                                               k->format, "size", (json_int_t)k->size));
    }
    (void)hv_tags(hv, d->uuid, &tags, NULL); /* of one that has just ended there are none */
    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o}", "name", d->name, "uuid", d->uuid, "title", json_text(d->title), "state",
                     hv_state_name(d->state), "state_detail", json_text(d->state_detail), "tags", json_strv(tags), "disks", disks);
}

int requester_list_vms(struct requester *rq, json_t **ret, struct err *err)
{
    _cleanup_(hv_close_p) struct hv *hv = NULL;
    struct hv_domain **list = NULL;
    size_t n = 0;

    rq->end = REQUESTER_DONE;
    int r = hv_connect(rq, &hv, err);
    if (r >= 0)
        r = hv_list(hv, &list, &n, err);
    if (r >= 0) {
        json_t *vms = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(vms, list_vm_entry(hv, list[i]));
        hv_list_free(list, n);
        r = list_give(json_pack("{s:o}", "vms", vms), ret, err);
    }
    return job_end(rq, r, err);
}

/* ---- Restore points -------------------------------------------------------------------------------------------------------*/

/* NULL: its listing is not one of ours, or it does not hold the VM. */
static json_t *point_entry(const struct requester *rq, const struct store_point_info *p, const char *vm, const char *label)
{
    _cleanup_json_ json_t *meta = NULL;
    struct err why = ERR_INIT;
    char time[32];

    if (point_meta(p->meta, &meta, &why) < 0) {
        log_warning(rq->config.log, "restore point %.12s: %s", p->id, why.text);
        return NULL;
    }
    if (vm && !point_find_vm(meta, vm))
        return NULL;
    const char *has = json_get_text(meta, "label");
    if (label && (!has || fnmatch(label, has, 0) != 0))
        return NULL;
    json_object_set_new(meta, "id", json_string(p->id));
    json_object_set_new(meta, "time", json_string(clock_format(p->time_us, time)));
    return TAKE_PTR(meta);
}

/* A name that no restore point holds is more likely misspelt than meant. */
static int list_check_name(const struct store_point_info *list, size_t n, const char *vm, struct err *err)
{
    json_t **metas = calloc(n + 1, sizeof(json_t *));
    char *const vms[] = { (char *)(uintptr_t)vm, NULL };

    if (!metas)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++)
        (void)point_meta(list[i].meta, &metas[i], NULL); /* what is no listing holds no VM */
    int r = point_check_vms(metas, n, vms, err);
    for (size_t i = 0; i < n; i++)
        json_decref(metas[i]);
    free(metas);
    return r;
}

int requester_list_points(struct requester *rq, const char *vm, const char *label, json_t **ret, struct err *err)
{
    _cleanup_free_ struct store_protection *protections = NULL;
    struct store_point_info *list = NULL;
    size_t n = 0, bad = 0, n_protections = 0;

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = store_protections(rq->store, &protections, &n_protections, err);
    if (r >= 0)
        r = store_list(rq->store, &list, &n, &bad, err);
    if (r >= 0 && vm && (r = list_check_name(list, n, vm, err)) < 0)
        store_list_free(list, n);
    if (r >= 0) {
        json_t *points = json_array(), *entry;
        for (size_t i = 0; i < n; i++)
            if ((entry = point_entry(rq, &list[i], vm, label))) {
                const struct store_protection *p = store_protection_find(protections, n_protections, list[i].id);
                json_object_set_new(entry, "protected", protection_json(p));
                json_array_append_new(points, entry);
            }
        store_list_free(list, n);
        r = list_give(json_pack("{s:o, s:I}", "points", points, "unreadable", (json_int_t)bad), ret, err);
    }
    if (r >= 0)
        r = known_report(rq, *ret, err);
    return job_end(rq, r, err);
}

int requester_made_point(struct requester *rq, const char *id, bool *ret, struct err *err)
{
    rq->end = REQUESTER_DONE;
    int r = repository_open_for(rq, KNOWN_TRUST, err);
    *ret = r >= 0 && known_made(rq, id);
    return job_end(rq, r, err);
}

/* ---- Hosts that sign ------------------------------------------------------------------------------------------------------*/

int requester_list_hosts(struct requester *rq, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *report = json_object();

    rq->end = REQUESTER_DONE;
    int r = repository_open(rq, err);
    if (r >= 0)
        r = known_report(rq, report, err);
    if (r >= 0) {
        json_t *catalogue = json_object_get(report, "catalogue");
        r = list_give(json_is_object(catalogue) ? json_incref(catalogue) : json_pack("{s:[], s:[], s:[]}", "hosts", "cut", "notes"), ret,
                      err);
    }
    if (r >= 0)
        json_object_set_new(*ret, "version", json_integer(store_version(rq->store)));
    return job_end(rq, r, err);
}
