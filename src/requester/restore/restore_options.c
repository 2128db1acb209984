/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the VM writer is told of a VM's restore (writers/vm/vm_writer.h), and the new targets that VSS wants to be told. */
#include "base/io.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

static int add_new_target(struct restore *r, const struct restore_vm *vm, const struct restore_disk *d, struct err *err)
{
    if (!d->was || d->was[0] != '/' || !strcmp(d->was, d->path))
        return 0;
    _cleanup_free_ char *dir = io_dirname(d->was), *base = io_basename(d->was);
    if (!dir || !base)
        return err_nomem(err);
    struct kvss_new_target target = { .path = dir, .filespec = base, .recursive = false, .new_path = d->path };
    return vss_add_new_target(r->s->vss, VM_WRITER_ID, "", vm->uuid, &target, err);
}

/* What the VM writer wants to know of the VM at the backup. */
static void add_recorded(const struct restore_vm *vm, json_t *o)
{
    json_t *were = json_object();

    for (size_t i = 0; i < vm->n_disks; i++)
        json_object_set_new(were, vm->disks[i].target, json_text(vm->disks[i].was));
    json_object_set_new(o, "disks_were", were);
    json_object_set_new(o, "was", json_string(hv_state_name(vm->record.state)));
    json_object_set_new(o, "autostart", json_boolean(vm->record.autostart));
}

/* Adds what only some restores have. */
static void add_special(const struct restore *r, const struct restore_vm *vm, json_t *o)
{
    json_t *formats = json_object();

    for (size_t i = 0; i < vm->n_disks; i++) {
        const char *was = vm->disks[i].record->format;
        if (was && strcmp(was, vm->disks[i].format))
            json_object_set_new(formats, vm->disks[i].target, json_text(vm->disks[i].format));
    }
    json_object_set_new(o, "formats", formats);
    add_recorded(vm, o);
    if (vm->nics)
        json_object_set(o, "nics", vm->nics);
    if (vm->nics_live)
        json_object_set(o, "nics_live", vm->nics_live);
    if (vm->live_path)
        json_object_set_new(o, "live", json_text(vm->live_path));
    if (vm->absent)
        json_object_set(o, "absent", vm->absent);
    json_object_set_new(o, "both", json_boolean(vm->both));
    json_t *deletes = json_array();
    for (size_t i = 0; i < vm->n_old; i++)
        json_array_append_new(deletes, json_text(vm->old[i].path));
    json_object_set_new(o, "deletes", deletes);
    if (vm->part)
        json_object_set_new(o, "part", json_true());
    if (!vm->as_uuid)
        return;
    json_object_set_new(o, "name", json_text(r->job->name));
    json_object_set_new(o, "uuid", json_text(vm->as_uuid));
    json_object_set_new(o, "keep_mac", json_boolean(r->job->keep_mac));
}

int restore_set_options(struct restore *r, struct restore_vm *vm, struct err *err)
{
    json_t *disks = json_object();
    bool in_place = false;
    int rc = 0;

    for (size_t i = 0; i < vm->n_disks && rc >= 0; i++) {
        json_object_set_new(disks, vm->disks[i].target, json_text(vm->disks[i].path));
        in_place = in_place || vm->disks[i].in_place;
        rc = add_new_target(r, vm, &vm->disks[i], err);
    }
    _cleanup_json_ json_t *o = json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:b}", "definition", json_text(vm->definition), "memory",
                                         json_text(vm->memory), "nvram", json_text(vm->nvram_path), "state", vm->state, "disks", disks,
                                         "default_dir", json_text(r->default_dir), "in_place", in_place);
    if (o)
        add_special(r, vm, o);
    _cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (rc < 0 || !text)
        return rc < 0 ? rc : err_nomem(err);
    return vss_set_restore_options(r->s->vss, VM_WRITER_ID, "", vm->uuid, text, err);
}
