/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a backup of the VMs would do, told before anything is touched (M4, B3). */
#include "requester/policy.h"
#include <errno.h>

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

static json_t *vm_entry(const struct vm_report *r)
{
    json_t *agent = r->state == HV_RUNNING ? json_string(agent_name(r->agent)) : json_null();

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", r->name, "uuid", r->uuid, "state",
                     hv_state_name(r->state), "method", vm_method_name(r->method), "level", vm_level_name(r->level), "refused",
                     json_text(r->refused), "agent", agent, "conditions", conditions(r), "disks", disks(r), "file_systems", file_systems(r),
                     "warnings", json_strv(r->warnings));
}

/* The VMs are looked at side by side: a hung agent costs its deadline once. */
struct checks {
    struct vm_writer *writer;
    char **uuids;
    struct vm_report *reports;
};

static int check_one(void *ctx, size_t i, struct err *err)
{
    struct checks *c = ctx;

    return vm_writer_check(c->writer, c->uuids[i], &c->reports[i], err);
}

static int run(struct session *s, char **uuids, json_t **ret, struct err *err)
{
    size_t n = strv_len(uuids), refused = 0;
    _cleanup_free_ struct vm_report *reports = calloc(n + 1, sizeof(*reports));
    struct checks c = { s->vm_writer, uuids, reports };
    json_t *vms = json_array();

    int r = reports ? par_each(n, 16, check_one, &c, err) : err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; reports && i < n; i++) {
        if (r >= 0) {
            json_array_append_new(vms, vm_entry(&reports[i]));
            refused += reports[i].refused != NULL;
        }
        vm_report_clear(&reports[i]);
    }
    if (r < 0) {
        json_decref(vms);
        return r;
    }
    *ret = json_pack("{s:o, s:I}", "vms", vms, "refused", (json_int_t)refused);
    if (!*ret)
        return err_set(err, ENOMEM, "out of memory");
    s->rq->end = refused ? REQUESTER_REFUSED : REQUESTER_DONE;
    return 0;
}

int requester_check(struct requester *rq, char *const *vms, const struct requester_policy *policy, json_t **ret, struct err *err)
{
    _cleanup_(policies_clear) struct policies policies = { 0 };
    struct session_options o = { .policies = &policies };
    _cleanup_strv_ char **uuids = NULL;
    struct session *s = NULL;

    rq->end = REQUESTER_DONE;
    int r = policies_parse(policy, &policies, err);
    if (r >= 0)
        r = session_open(rq, &o, &s, err);
    if (r >= 0)
        r = select_vms(s->hv, vms, &uuids, err);
    if (r >= 0)
        r = run(s, uuids, ret, err);
    session_close(s, NULL);
    return job_end(rq, r, err);
}
