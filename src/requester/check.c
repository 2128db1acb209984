/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a backup of the VMs would do, told before anything is touched (M4, B3). */
#include "requester/check.h"
#include "cluster/cluster.h"
#include "requester/claim.h"
#include "requester/demands.h"
#include <errno.h>
#include <stdarg.h>

static json_t *conditions(const struct vm_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ARRAY_SIZE(r->conditions); i++) {
        const struct vm_condition *c = &r->conditions[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "clause", c->clause, "name", c->name, "ok",
                                              c->checked ? json_boolean(c->ok) : json_null(), "why", json_text(c->why)));
    }
    return list;
}

static json_t *disks(const struct vm_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_disks; i++) {
        const struct vm_disk_report *d = &r->disks[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:b, s:o}", "target", d->target, "path", json_text(d->path), "format",
                                              json_text(d->format), "covered", d->covered, "why", json_text(d->why)));
    }
    return list;
}

static json_t *file_systems(const struct vm_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_fs; i++) {
        const struct hv_guest_fs *fs = &r->fs[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "mountpoint", json_text(fs->mountpoint), "type",
                                              json_text(fs->type), "device", json_text(fs->device), "disks",
                                              json_strv(fs->targets)));
    }
    return list;
}

static const char *agent_name(enum hv_agent_status s)
{
    static const char *const names[] = {
        [HV_AGENT_OK] = "ok", [HV_AGENT_NO_CHANNEL] = "no-channel", [HV_AGENT_NOT_CONNECTED] = "not-connected",
        [HV_AGENT_NOT_RESPONDING] = "not-responding", [HV_AGENT_NO_FREEZE] = "no-freeze", [HV_AGENT_FAILED] = "failed",
    };
    return (size_t)s < ARRAY_SIZE(names) ? names[s] : "failed";
}

void check_found(struct check *c, json_t *list, struct finding f, const char *fmt, ...)
{
    static const char *const levels[] = { "error", "warning", "note" };
    _cleanup_free_ char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    c->n_errors += f.level == FINDING_ERROR;
    json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "id", f.id, "level", levels[f.level], "text", json_text(text), "remedy",
                                          json_text(f.remedy)));
}

static int vm_entry(const struct check_vm *vm, json_t **ret, struct err *err)
{
    const struct vm_report *r = &vm->report;
    json_t *agent = r->state == HV_RUNNING ? json_string(agent_name(r->agent)) : json_null();

    json_t *demands = NULL;
    _cleanup_json_ json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:o}", "name", r->name, "uuid", r->uuid, "state",
                  hv_state_name(r->state), "method", vm_method_name(r->method), "level", vm_level_name(r->level), "refused",
                  json_text(r->refused), "agent", agent, "conditions", conditions(r), "disks", disks(r), "file_systems", file_systems(r),
                  "warnings", json_strv(r->warnings), "findings", vm->findings, "confined_by", json_text(vm->confined_by));
    int rc = o ? demands_of_domain(vm->dom, o, &demands, err) : err_set(err, ENOMEM, "out of memory");
    if (rc < 0)
        return err_context(err, "VM %s", r->name);
    json_object_set_new(o, "demands", demands);
    *ret = TAKE_PTR(o);
    return 0;
}

/* The VMs are looked at side by side: a hung agent costs its deadline once. */
struct questions {
    struct check *c;
    char **uuids;
};

static int check_one(void *ctx, size_t i, struct err *err)
{
    struct questions *q = ctx;
    struct check_vm *vm = &q->c->vms[i];

    int r = vm_writer_check(q->c->s->vm_writer, q->uuids[i], &vm->report, err);
    return r < 0 ? r : hv_domain_get(q->c->s->hv, q->uuids[i], &vm->dom, err);
}

static int look(struct check *c, char **uuids, struct err *err)
{
    struct questions q = { c, uuids };

    c->n = strv_len(uuids);
    c->findings = json_array();
    c->vms = calloc(c->n + 1, sizeof(*c->vms));
    if (!c->vms || !c->findings)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < c->n; i++)
        if (!(c->vms[i].findings = json_array()))
            return err_set(err, ENOMEM, "out of memory");
    return par_each(c->n, 16, check_one, &q, err);
}

/* Each saved state would fit alone, and a backup saves all of these VMs at once. */
static int check_saved_room(struct check *c, struct err *err)
{
    _cleanup_free_ uint64_t *bytes = calloc(c->n + 1, sizeof(*bytes));
    struct err room = ERR_INIT;

    if (!bytes)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < c->n; i++)
        bytes[i] = c->vms[i].report.refused ? 0 : c->vms[i].report.save_bytes;
    if (vm_writer_check_room(c->s->vm_writer, bytes, c->n, &room) < 0)
        check_found(c, c->findings, FOUND(FINDING_ERROR, "saved-state-full", "make room there, or back these VMs up one after the other"),
                    "%s", room.text);
    return 0;
}

static void note_clusters(struct check *c)
{
    for (size_t i = 0; i < c->n; i++) {
        _cleanup_free_ char *resource = NULL;
        struct err unknown = ERR_INIT; /* where it matters the VM is refused, and that says why */
        const struct vm_report *r = &c->vms[i].report;
        if (cluster_resource(r->name, r->uuid, &resource, &unknown) >= 0 && resource)
            check_found(c, c->vms[i].findings,
                        FOUND(FINDING_NOTE, "clustered",
                              "let Child VM Snapshot be possible; restore a copy (--name) or images (--images-only)"),
                        "Pacemaker manages the VM (resource %s), and kvss does not act through clusters yet: it never puts the VM in a "
                        "saved state, and does not restore over it", resource);
    }
}

static void check_clear(struct check *c)
{
    for (size_t i = 0; c->vms && i < c->n; i++) {
        vm_report_clear(&c->vms[i].report);
        if (c->vms[i].dom)
            hv_domain_free(c->vms[i].dom);
        json_decref(c->vms[i].findings);
        free(c->vms[i].confined_by);
    }
    free(c->vms);
    for (size_t i = 0; c->metas && i < c->n_points; i++)
        json_decref(c->metas[i]);
    free(c->metas);
    store_list_free(c->points, c->n_points);
    json_decref(c->findings);
    json_decref(c->left_out);
}

static int report(struct check *c, json_t *scratch, json_t *repository, json_t **ret, struct err *err)
{
    json_t *vms = json_array();
    size_t refused = 0;

    for (size_t i = 0; i < c->n; i++) {
        json_t *entry = NULL;
        if (vm_entry(&c->vms[i], &entry, err) < 0) {
            json_decref(vms);
            return -err->code;
        }
        json_array_append_new(vms, entry);
        refused += c->vms[i].report.refused != NULL;
    }
    *ret = json_pack("{s:o, s:O, s:O, s:O, s:O, s:I, s:I}", "vms", vms, "vms_left_out", c->left_out, "scratch", scratch, "repository",
                     repository, "findings", c->findings, "refused", (json_int_t)refused, "errors", (json_int_t)c->n_errors);
    if (!*ret)
        return err_set(err, ENOMEM, "out of memory");
    c->rq->end = refused || c->n_errors ? REQUESTER_REFUSED : REQUESTER_DONE;
    return 0;
}

static int run(struct check *c, char **uuids, bool freeze, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *scratch = NULL, *repository = NULL;

    int r = look(c, uuids, err);
    if (r >= 0 && freeze)
        r = check_freeze(c, err);
    if (r >= 0)
        r = check_saved_room(c, err);
    note_clusters(c);
    if (r >= 0)
        r = check_scratch(c, &scratch, err);
    if (r >= 0) {
        check_confined(c);
        r = check_repository(c, &repository, err);
    }
    if (r >= 0)
        r = check_left(c, err);
    if (r >= 0)
        r = check_writers(c, err);
    return r < 0 ? r : report(c, scratch, repository, ret, err);
}

/* What freezes guests is a session like others: alone on the VMs, with a journal and a watchdog. */
static int claim(struct check *c, char *const *uuids, struct err *err)
{
    const struct patience none = { 0 };

    int r = claims_take(c->rq, c->s->hv, uuids, &(struct claim_for){ .what = "check" }, &none, &c->claims, err);
    if (r == -EBUSY)
        c->rq->end = REQUESTER_REFUSED;
    return r;
}

int requester_check(struct requester *rq, const struct requester_check *job, json_t **ret, struct err *err)
{
    _cleanup_(policies_clear) struct policies policies = { 0 };
    struct session_options o = { .policies = &policies, .restore = job->try_freeze };
    struct check c = { .rq = rq, .policies = &policies, .exclude = job->policy.exclude };
    _cleanup_strv_ char **uuids = NULL;

    rq->end = REQUESTER_DONE;
    int r = policies_parse(&job->policy, &policies, err);
    if (r >= 0)
        r = session_open(rq, &o, &c.s, err);
    if (r >= 0)
        r = select_vms(c.s->hv, &(struct vm_selection){ job->vms, job->policy.exclude }, &uuids, &c.left_out, err);
    if (r >= 0 && job->try_freeze)
        r = claim(&c, uuids, err);
    if (r >= 0)
        r = run(&c, uuids, job->try_freeze, ret, err);
    check_clear(&c);
    session_close(c.s, NULL);
    claims_free(c.claims);
    return job_end(rq, r, err);
}
