/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs and their newest restore points: those of this host, and others that the repository has points of. */
#include "requester/keep/keep_status.h"
#include "base/clock.h"
#include "base/guid.h"
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

struct status_vm {
    const char *name, *uuid;
    const char *state;    /* NULL: it is not on this host */
    const char *excluded; /* the pattern of kvss.conf */
};

static const char *status_match(char *const *patterns, const struct status_vm *vm)
{
    for (char *const *p = patterns; p && *p; p++)
        if (!strcmp(*p, vm->name) || fnmatch(*p, vm->name, 0) == 0 || guid_equal(*p, vm->uuid))
            return *p;
    return NULL;
}

/* The newest point that holds it, by its place in the list; s->n_points: none. *ret_n: how many there are. */
static size_t status_newest(const struct state_of_backups *s, const char *uuid, size_t *ret_n)
{
    size_t newest = s->n_points;

    *ret_n = 0;
    for (size_t i = 0; i < s->n_points; i++) {
        if (!s->metas[i] || !point_find_vm(s->metas[i], uuid))
            continue;
        newest = i;
        ++*ret_n;
    }
    return newest;
}

static int64_t status_instant(const struct state_of_backups *s, size_t point, const struct vm_record_listed *l)
{
    int64_t us = s->points[point].time_us;

    if (l->instant)
        (void)clock_parse(l->instant, &us, NULL);
    return us;
}

/* "2 days", "26 hours", "5 minutes" */
static void age_text(int64_t seconds, char buf[static 40])
{
    if (seconds >= 72 * 3600)
        snprintf(buf, 40, "%lld days", (long long)(seconds / 86400));
    else if (seconds >= 7200)
        snprintf(buf, 40, "%lld hours", (long long)(seconds / 3600));
    else
        snprintf(buf, 40, "%lld minutes", (long long)(seconds / 60));
}

static void status_judge(struct state_of_backups *s, const struct status_vm *vm, bool has_point, int64_t age_s)
{
    const struct requester_status *j = s->job;
    bool here = vm->state || s->libvirt.code; /* without libvirt nobody knows, so all are */
    char age[40];

    if (!here || vm->excluded)
        return;
    if (!has_point) {
        status_problem(s, j->crit_s ? STATUS_CRITICAL : STATUS_WARNING, "%s has no restore point", vm->name);
        return;
    }
    age_text(age_s, age);
    if (j->crit_s && age_s > j->crit_s)
        status_problem(s, STATUS_CRITICAL, "%s was last backed up %s ago", vm->name, age);
    else if (j->warn_s && age_s > j->warn_s)
        status_problem(s, STATUS_WARNING, "%s was last backed up %s ago", vm->name, age);
    else if (age_s < -STORE_AHEAD_US / 1000000)
        status_problem(s, STATUS_WARNING, "the newest restore point of %s is dated in the future", vm->name);
}

static int add_status_vm(struct state_of_backups *s, const struct status_vm *vm, struct err *err)
{
    size_t n, at = status_newest(s, vm->uuid, &n);
    bool has = at < s->n_points;
    const struct vm_record_listed l = has ? vm_record_listed(point_find_vm(s->metas[at], vm->uuid)) : (struct vm_record_listed){ 0 };
    int64_t us = has ? status_instant(s, at, &l) : 0, age_s = (s->now_us - us) / 1000000;
    char instant[32];

    if (s->job->vms && *s->job->vms && !status_match(s->job->vms, vm))
        return 0;
    json_t *o =
        json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "name", json_text(vm->name), "uuid", vm->uuid, "state",
                  json_text(vm->state), "excluded", json_text(vm->excluded), "point", json_text(has ? s->points[at].id : NULL), "instant",
                  has ? json_string(clock_format(us, instant)) : json_null(), "age_s", has ? json_integer(age_s) : json_null(),
                  "consistency", json_text(l.consistency), "method", json_text(l.method), "points", (json_int_t)n);
    if (!o || json_array_append_new(s->vms, o) < 0)
        return err_nomem(err);
    status_judge(s, vm, has, age_s);
    return 0;
}

static int of_this_host(struct state_of_backups *s, struct hv_name **ret, size_t *ret_n, struct err *err)
{
    _cleanup_(hv_close_p) struct hv *hv = NULL;

    int r = hv_connect(s->rq, &hv, &s->libvirt);
    if (r >= 0)
        r = hv_names(hv, ret, ret_n, &s->libvirt);
    for (size_t i = 0; r >= 0 && i < *ret_n; i++) {
        struct status_vm vm = { .name = (*ret)[i].name, .uuid = (*ret)[i].uuid };
        enum hv_state state;
        struct err gone = ERR_INIT;
        int e = hv_state_now(hv, vm.uuid, &state, &gone);
        if (e == -ENOENT)
            continue; /* just undefined */
        if (e < 0)
            status_problem(s, STATUS_WARNING, "%s", gone.text);
        vm.state = e < 0 ? "unknown" : hv_state_name(state);
        vm.excluded = status_match(s->job->exclude, &vm);
        if (add_status_vm(s, &vm, err) < 0)
            return -err->code;
    }
    return r == -EINTR ? err_move(err, &s->libvirt) : 0;
}

static bool is_listed(const struct hv_name *here, size_t n, char *const *seen, const char *uuid)
{
    for (size_t i = 0; i < n; i++)
        if (guid_equal(here[i].uuid, uuid))
            return true;
    return strv_has(seen, uuid);
}

int status_vms(struct state_of_backups *s, struct err *err)
{
    _cleanup_strv_ char **seen = NULL;
    struct hv_name *here = NULL;
    size_t n = 0, k;
    json_t *entry;

    int r = of_this_host(s, &here, &n, err);
    for (size_t i = s->n_points; i-- > 0 && r >= 0;) /* newest first: by the name that it had last */
        json_array_foreach (point_vms(s->metas[i]), k, entry) {
            const struct vm_record_listed l = vm_record_listed(entry);
            if (r < 0 || !l.uuid || !l.name || is_listed(here, n, seen, l.uuid))
                continue;
            r = strv_add(&seen, l.uuid) < 0 ? err_nomem(err) : add_status_vm(s, &(struct status_vm){ .name = l.name, .uuid = l.uuid }, err);
        }
    hv_names_free(here, n);
    if (r >= 0 && s->libvirt.code)
        status_problem(s, STATUS_WARNING, "the VMs of this host are not known: %s", s->libvirt.text);
    if (r >= 0 && s->job->vms && *s->job->vms && !json_array_size(s->vms))
        return err_set(err, ENOENT, "no VM matches '%s', on this host or in the repository", *s->job->vms);
    return r;
}
