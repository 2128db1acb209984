/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nothing that exists is powered off, replaced or deleted without consent: --yes, or a person who has seen the plan. The plan agreed to
 * is the one that is carried out: it is made again and compared, and the VMs are looked at once more when all images are ready, which
 * may be hours later. */
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

static bool confirm_is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

/* The first file or device that is written over; NULL: none is. */
static const char *first_replaced(const json_t *writes)
{
    size_t i;
    json_t *w;

    json_array_foreach (writes, i, w)
        if (confirm_is(w, "replaces"))
            return json_get_text(w, "path");
    return NULL;
}

static bool vm_is_replaced(const json_t *vm)
{
    return confirm_is(vm, "turn_off") || confirm_is(vm, "delete") || (confirm_is(vm, "part") && json_get_text(vm, "here"));
}

bool restore_plan_asks(const json_t *plan)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(plan, "vms"), i, e)
        if (vm_is_replaced(e) || first_replaced(json_object_get(e, "write")))
            return true;
    json_array_foreach (json_object_get(plan, "files"), i, e)
        if (json_get_u64(e, "replaces") || json_get_text(e, "service"))
            return true;
    return false;
}

static int confirm_refuse(struct restore *r, struct err *err)
{
    r->rq->end = REQUESTER_REFUSED;
    return err->code ? -err->code : -ECANCELED;
}

/* What there is to be agreed to, the worst first. */
static int say_what(const json_t *plan, struct err *err)
{
    static const char ask[] = "Use --yes to do this without a question, or run the command on a terminal";
    const char *replaced = NULL;
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(plan, "vms"), i, e)
        if (confirm_is(e, "turn_off"))
            return err_set(err, ECANCELED, "VM %s is %s: it would be powered off and %s replaced. %s", json_get_text(e, "name"),
                           json_get_text(e, "here"), confirm_is(e, "part") ? "its disks" : "the VM", ask);
    json_array_foreach (json_object_get(plan, "vms"), i, e)
        if (vm_is_replaced(e))
            return err_set(err, ECANCELED, "VM %s (%s) exists on this host: %s would be replaced. %s", json_get_text(e, "name"),
                           json_get_text(e, "here"), confirm_is(e, "part") ? "disks of it" : "it", ask);
    json_array_foreach (json_object_get(plan, "vms"), i, e)
        if ((replaced = first_replaced(json_object_get(e, "write"))))
            return err_set(err, ECANCELED, "VM %s: %s exists and would be replaced. %s", json_get_text(e, "name"), replaced, ask);
    return err_set(err, ECANCELED, "existing files would be replaced. %s", ask);
}

/* ---- The plan that was agreed to --------------------------------------------------------------------------------------------*/

/* Without what is another each time (a copy's UUID, the age), and what is not done to anything that exists. */
static json_t *essence(const json_t *plan)
{
    json_t *copy = json_deep_copy(plan), *e;
    size_t i;

    json_object_del(copy, "age_s");
    json_array_foreach (json_object_get(copy, "vms"), i, e) {
        json_object_del(e, "as_uuid");
        json_object_del(e, "nics");
        json_object_del(e, "warnings");
    }
    return copy;
}

static const char *here(const json_t *vm)
{
    const char *state = json_get_text(vm, "here");

    return state ? state : "not on this host";
}

static int say_what_changed(const json_t *agreed, const json_t *plan, struct err *err)
{
    const json_t *before = json_object_get(agreed, "vms");
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(plan, "vms"), i, e) {
        const json_t *was = json_array_get(before, i);
        if (strcmp(here(was), here(e)))
            return err_set(err, ESTALE, "VM %s was %s when the plan was shown and is %s now", json_get_text(e, "name"), here(was), here(e));
    }
    return err_set(err, ESTALE, "what the restore would replace has changed since the plan was shown");
}

int restore_confirm(struct restore *r, struct err *err)
{
    _cleanup_json_ json_t *plan = NULL;

    if (r->job->yes)
        return 0;
    int rc = restore_dry_report(r, &plan, err);
    if (rc < 0)
        return rc;
    if (!restore_plan_asks(plan))
        return 0;
    if (!r->job->agreed) {
        say_what(plan, err);
        return confirm_refuse(r, err);
    }
    _cleanup_json_ json_t *is_now = essence(plan), *was = essence(r->job->agreed);
    if (is_now && was && json_equal(is_now, was))
        return 0;
    say_what_changed(r->job->agreed, plan, err);
    return confirm_refuse(r, err);
}

/* ---- The last look ----------------------------------------------------------------------------------------------------------*/

static bool runs(const struct hv_domain *d)
{
    return d && d->state != HV_OFF && d->state != HV_SAVED;
}

static bool confirm_same_disks(const struct hv_domain *a, const struct hv_domain *b)
{
    if (a->n_disks != b->n_disks)
        return false;
    for (size_t i = 0; i < a->n_disks; i++)
        if (strcmp(a->disks[i].target, b->disks[i].target) || strcmp(a->disks[i].locator, b->disks[i].locator))
            return false;
    return true;
}

static int confirm_look(struct restore *r, const struct restore_vm *vm, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err none = ERR_INIT;

    int rc = hv_domain_get(r->s->hv, vm->uuid, &d, &none);
    if (rc < 0 && rc != -ENOENT)
        return err_move(err, &none);
    if (runs(d) && !runs(vm->now))
        err_set(err, ESTALE, "VM %s was %s when the restore was confirmed and is %s now", vm->name,
                vm->now ? hv_state_name(vm->now->state) : "not on this host", hv_state_name(d->state));
    else if (d && (!vm->now || !confirm_same_disks(d, vm->now)))
        err_set(err, ESTALE, "VM %s was %s after the restore was confirmed", vm->name, vm->now ? "given other disks" : "defined");
    else
        return 0;
    return confirm_refuse(r, err);
}

int restore_look_again(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_vms && rc >= 0 && !r->job->yes; i++)
        rc = r->vms[i].as_uuid ? 0 : confirm_look(r, &r->vms[i], err);
    return rc;
}
