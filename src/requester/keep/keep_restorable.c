/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that are as they were written may still be no VM: of each one in a restore point, what a restore reads before it does anything is
 * read here too, and what it would say of it is told. */
#include "requester/keep/findings.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

static void add_notes(json_t *notes, const char *point, const struct restore_vm *vm)
{
    size_t i;
    json_t *text;

    json_array_foreach (vm->notes, i, text)
        json_array_append_new(notes, json_pack("{s:s, s:o, s:O}", "point", point, "vm", json_text(vm->name), "what", text));
}

/* Versions that stored one definition took the disk for damage, in every way to restore the point. */
static void restorable_add_old(json_t *notes, const char *point, const struct restore_vm *vm)
{
    for (size_t k = 0; vm->def && !restore_find_part(vm, VM_PART_LIVE) && k < vm->n_disks; k++) {
        const char *target = vm->disks[k].target;
        if (hv_def_has_disk(vm->def, target))
            continue;
        _cleanup_free_ char *text = str_format("disk %s is missing from the stored definition because only the running VM had it: this "
                                               "version of kvss can restore the VM, earlier versions cannot",
                                               target);
        json_array_append_new(notes, json_pack("{s:s, s:o, s:o}", "point", point, "vm", json_text(vm->name), "what", json_text(text)));
    }
}

static void note_damage(struct findings *f, struct store_point *p, const char *uuid, const char *text)
{
    _cleanup_free_ char *name = uuid ? point_vm_name(uuid, "vm.json") : NULL;
    const struct store_problem problem = { .what = text, .point = store_point_id(p), .name = name };

    findings_note(f, &problem);
}

/* What a listing shows of a VM is derived from its record: where it says something else, one of the two was changed afterwards. A record
 * that cannot be read is found by the plan. Returns how many differences were noted. */
static int check_summary(struct store_point *p, const json_t *listed, const char *uuid, struct findings *f)
{
    _cleanup_vm_record_ struct vm_record record = { 0 };
    _cleanup_free_ char *what = NULL, *text = NULL;

    if (!uuid || point_read_vm(p, uuid, &record, NULL) < 0 || vm_record_summary_differs(&record, listed, &what, NULL) <= 0)
        return 0;
    const char *name = vm_record_listed(listed).name;
    text = str_format("the summary of VM %s differs from its record: %s", name ? name : uuid, what);
    note_damage(f, p, uuid, text ? text : what);
    return 1;
}

static int check_vm(struct requester *rq, struct store_point *p, json_t *meta, const json_t *listed, struct findings *f, json_t *notes)
{
    const char *uuid = vm_record_listed(listed).uuid;
    char *const vms[] = { (char *)(uintptr_t)uuid, NULL };
    const struct requester_restore job = { .vms = vms };
    struct restore r = { .rq = rq, .job = &job, .point = p, .meta = meta };
    struct err why = ERR_INIT;

    int rc = uuid ? restore_plan(&r, &why) : err_set(&why, EUCLEAN, "the summary of the restore point has an invalid VM entry");
    if (rc < 0) {
        _cleanup_free_ char *text = str_format("cannot be restored: %s", why.text);
        note_damage(f, p, uuid, text ? text : why.text);
    }
    int differs = check_summary(p, listed, uuid, f);
    for (size_t i = 0; rc >= 0 && i < r.n_vms; i++)
        restorable_add_old(notes, store_point_id(p), &r.vms[i]);
    for (size_t i = 0; i < r.n_vms; i++)
        add_notes(notes, store_point_id(p), &r.vms[i]);
    restore_clear_vms(&r);
    return (rc < 0) + differs;
}

static int restorable_check_point(struct requester *rq, const char *id, struct findings *f, json_t *notes, uint64_t *count)
{
    _cleanup_(store_point_close_p) struct store_point *p = NULL;
    _cleanup_json_ json_t *meta = NULL;
    struct err ignored = ERR_INIT; /* a point that cannot be read was found by the store; one of another program holds no VMs */
    size_t i;
    json_t *vm;

    if (store_point_open(rq->store, id, &p, &ignored) < 0 || point_meta(store_point_meta(p), &meta, &ignored) < 0)
        return 0;
    json_array_foreach (point_vms(meta), i, vm)
        *count += (uint64_t)check_vm(rq, p, meta, vm, f, notes);
    return 0;
}

int verify_restorable(struct requester *rq, const char *only, struct findings *f, json_t *report, uint64_t *count, struct err *err)
{
    json_t *notes = json_array();
    struct store_point_info *list = NULL;
    size_t n = 0;

    if (json_object_set_new(report, "notes", notes) < 0)
        return err_nomem(err);
    int rc = store_list(rq->store, &list, &n, NULL, err);
    for (size_t i = 0; i < n && rc >= 0; i++)
        if ((!only || !strcmp(only, list[i].id)) && !json_object_get(f->touched, list[i].id) && (rc = job_cancelled(rq, err)) >= 0)
            rc = restorable_check_point(rq, list[i].id, f, notes, count);
    store_list_free(list, n);
    return rc;
}
