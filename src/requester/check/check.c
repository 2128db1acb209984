/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a backup of the VMs would do, told before anything is touched (M4, B3). */
#include "requester/check/check.h"
#include "cluster/cluster.h"
#include "requester/session/session.h"
#include "requester/trust/trust.h"
#include <errno.h>
#include <stdarg.h>

static json_t *check_check_file_systems(const struct vm_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_fs; i++) {
        const struct hv_guest_fs *fs = &r->fs[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "mountpoint", json_text(fs->mountpoint), "type", json_text(fs->type),
                                              "device", json_text(fs->device), "disks", json_strv(fs->targets)));
    }
    return list;
}

static const char *agent_name(enum hv_agent_status s)
{
    static const char *const names[] = {
        [HV_AGENT_OK] = "ok",
        [HV_AGENT_NO_CHANNEL] = "no-channel",
        [HV_AGENT_NOT_CONNECTED] = "not-connected",
        [HV_AGENT_NOT_RESPONDING] = "not-responding",
        [HV_AGENT_NO_FREEZE] = "no-freeze",
        [HV_AGENT_FAILED] = "failed",
    };
    return (size_t)s < ARRAY_SIZE(names) ? names[s] : "failed";
}

void check_found(struct check *c, json_t *list, struct finding f, const char *fmt, ...)
{
    static const char *const levels[] = { "error", "warning", "note" };
    va_list ap;

    va_start(ap, fmt);
    json_t *text = json_text_format(fmt, ap);
    va_end(ap);
    c->n_errors += f.level == FINDING_ERROR;
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:o, s:o}", "id", f.id, "level", levels[f.level], "text", text, "remedy", json_text(f.remedy)));
}

static int check_vm_entry(const struct check_vm *vm, json_t **ret, struct err *err)
{
    const struct vm_report *r = vm->report;
    _cleanup_vm_record_ struct vm_record record = { 0 };
    _cleanup_json_ json_t *o = NULL;
    json_t *demands = NULL;

    int rc = vm_record_of_report(r, &record, err);
    if (rc >= 0 && !(o = vm_record_preview(&record)))
        rc = err_nomem(err);
    if (rc >= 0)
        rc = demands_of_domain(vm->dom, &record, &demands, err);
    if (rc < 0)
        return err_context(err, "VM %s", r->name);
    json_object_set_new(o, "refused", json_text(r->refused));
    json_object_set_new(o, "agent", json_text(r->state == HV_RUNNING ? agent_name(r->agent) : NULL));
    json_object_set_new(o, "file_systems", check_check_file_systems(r));
    json_object_set(o, "findings", vm->findings);
    json_object_set_new(o, "confined_by", json_text(vm->confined_by));
    json_object_set_new(o, "demands", demands);
    *ret = TAKE_PTR(o);
    return 0;
}

/* The VMs are looked at side by side: a hung agent costs its deadline once. */
struct check_questions {
    struct check *c;
    char **uuids;
};

static int check_check_one(void *ctx, size_t i, struct err *err)
{
    struct check_questions *q = ctx;
    struct check_vm *vm = &q->c->vms[i];

    return vm_writer_check(q->c->s->vm_writer, q->uuids[i], &vm->report, &vm->dom, err);
}

static int check_look(struct check *c, char **uuids, struct err *err)
{
    struct check_questions q = { c, uuids };

    c->n = strv_len(uuids);
    c->findings = json_array();
    c->vms = calloc(c->n + 1, sizeof(*c->vms));
    if (!c->vms || !c->findings)
        return err_nomem(err);
    for (size_t i = 0; i < c->n; i++)
        if (!(c->vms[i].findings = json_array()))
            return err_nomem(err);
    return par_each(c->n, 16, check_check_one, &q, err);
}

/* Each saved state would fit alone, and a backup saves all of these VMs at once. */
static int check_saved_room(struct check *c, struct err *err)
{
    _cleanup_free_ uint64_t *bytes = calloc(c->n + 1, sizeof(*bytes));
    struct err room = ERR_INIT;

    if (!bytes)
        return err_nomem(err);
    for (size_t i = 0; i < c->n; i++)
        bytes[i] = c->vms[i].report->refused ? 0 : c->vms[i].report->save_bytes;
    if (vm_writer_check_room(c->s->vm_writer, bytes, c->n, &room) < 0)
        check_found(c, c->findings, FOUND(FINDING_ERROR, "saved-state-full", "free space there, or back these VMs up one at a time"), "%s",
                    room.text);
    return 0;
}

static void note_clusters(struct check *c)
{
    for (size_t i = 0; i < c->n; i++) {
        _cleanup_free_ char *resource = NULL;
        struct err unknown = ERR_INIT; /* where it matters the VM is refused, and that says why */
        const struct vm_report *r = c->vms[i].report;
        if (cluster_resource(r->name, r->uuid, &resource, &unknown) >= 0 && resource)
            check_found(c, c->vms[i].findings, FOUND(FINDING_NOTE, "clustered", "nothing has to be done; docs/clusters.md has the details"),
                        "Pacemaker manages the VM (resource %s): %s", resource,
                        r->method == VM_METHOD_CHILD   ? "the backup does not involve the cluster"
                        : r->method == VM_METHOD_SAVED ? "while the VM is saved, the resource is in maintenance until it runs again"
                                                       : "the VM is not saved, so the backup does not involve the cluster");
    }
}

static void check_clear(struct check *c)
{
    for (size_t i = 0; c->vms && i < c->n; i++) {
        json_decref(c->vms[i].findings);
        free(c->vms[i].confined_by);
    }
    free(c->vms);
    for (size_t i = 0; c->metas && i < c->n_points; i++)
        json_decref(c->metas[i]);
    free(c->metas);
    store_list_free(c->points, c->n_points);
    json_decref(c->findings);
    json_decref(c->scratch);
    json_decref(c->repository);
    json_decref(c->left_out);
}

static int check_report(struct check *c, json_t **ret, struct err *err)
{
    json_t *vms = json_array();
    size_t refused = 0;

    for (size_t i = 0; i < c->n; i++) {
        json_t *entry = NULL;
        if (check_vm_entry(&c->vms[i], &entry, err) < 0) {
            json_decref(vms);
            return -err->code;
        }
        json_array_append_new(vms, entry);
        refused += c->vms[i].report->refused != NULL;
    }
    *ret = json_pack("{s:o, s:O, s:O, s:O, s:O, s:I, s:I}", "vms", vms, "vms_left_out", c->left_out, "scratch", c->scratch, "repository",
                     c->repository, "findings", c->findings, "refused", (json_int_t)refused, "errors", (json_int_t)c->n_errors);
    if (!*ret)
        return err_nomem(err);
    c->rq->end = refused || c->n_errors ? REQUESTER_REFUSED : REQUESTER_DONE;
    return 0;
}

#define CHECK(name) check_##name,
static int (*const checks[])(struct check *c, struct err *err) = {
#include "requester/check/checks.h"
};
#undef CHECK

static int check_run(struct check *c, char **uuids, json_t **ret, struct err *err)
{
    int r = check_look(c, uuids, err);
    if (r >= 0)
        r = check_saved_room(c, err);
    if (r >= 0)
        note_clusters(c);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(checks); i++)
        r = checks[i](c, err);
    return r < 0 ? r : check_report(c, ret, err);
}

/* What freezes guests is a session like others: alone on the VMs, with a journal and a watchdog. */
static int check_claim(struct check *c, char *const *uuids, struct err *err)
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
    struct check c = {
        .rq = rq, .policies = &policies, .exclude = job->policy.exclude, .provider = job->policy.provider, .try_freeze = job->try_freeze
    };
    const struct vm_selection what = policy_selection(job->vms, &job->policy);
    _cleanup_strv_ char **uuids = NULL;

    rq->end = REQUESTER_DONE;
    int r = policies_parse(&job->policy, &policies, err);
    if (r >= 0)
        r = session_open(rq, &o, &c.s, err);
    if (r >= 0)
        r = select_vms(c.s->hv, &what, &uuids, &c.left_out, err);
    if (r >= 0 && job->try_freeze)
        r = check_claim(&c, uuids, err);
    if (r >= 0)
        r = check_run(&c, uuids, ret, err);
    check_clear(&c);
    session_close(c.s, NULL);
    claims_free(c.claims);
    return job_end(rq, r, err);
}
