/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan of a restore (--dry-run), as it stands when all checks have passed: what would be turned off, deleted, written, registered
 * and connected. Nothing is done. */
#include "base/clock.h"
#include "base/io.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

static json_t *add_write(json_t *list, const char *what, const char *path, const char *format, uint64_t size, bool device)
{
    json_t *o = path ? json_pack("{s:s, s:o, s:o, s:I, s:b, s:b}", "what", what, "path", json_text(path), "format", json_text(format),
                                 "size", (json_int_t)size, "replaces", io_exists(path), "device", device)
                     : NULL;
    if (o)
        json_array_append_new(list, o);
    return o;
}

static void restore_dry_add_disk(json_t *list, const struct restore_disk *d)
{
    json_t *o = add_write(list, d->target, d->path, d->format, d->size, d->block_device);

    json_object_set_new(o, "real", json_text(d->real));
}

static int restore_dry_add_tpm(json_t *list, const struct restore *r, const struct restore_vm *vm, struct err *err)
{
    for (size_t i = 0; i < vm->record.n_parts; i++) {
        const struct vm_record_part *part = &vm->record.parts[i];
        _cleanup_free_ char *path = NULL;
        int rc = restore_tpm_target(r, vm, part, &path, err);
        if (rc < 0)
            return rc;
        add_write(list, "TPM", path, NULL, part->size, false);
    }
    return 0;
}

static int writes(const struct restore *r, const struct restore_vm *vm, json_t *list, struct err *err)
{
    const struct vm_record_part *memory = restore_find_part(vm, VM_PART_MEMORY);

    for (size_t i = 0; i < vm->n_disks; i++)
        restore_dry_add_disk(list, &vm->disks[i]);
    add_write(list, "NVRAM", vm->nvram_path, NULL, vm->nvram ? vm->nvram->size : 0, false);
    add_write(list, "definition", vm->definition, NULL, 0, false);
    add_write(list, "definition it ran with", vm->live_path, NULL, 0, false);
    add_write(list, "memory", vm->memory, NULL, memory ? memory->size : 0, false);
    return restore_dry_add_tpm(list, r, vm, err);
}

/* Images of the VM that is replaced which are not in the way. */
static json_t *staying(const struct restore_vm *vm)
{
    json_t *list = json_array();

    for (size_t i = 0; vm->now && !vm->as_uuid && !vm->part && i < vm->now->n_disks; i++) {
        const struct hv_disk *d = &vm->now->disks[i];
        bool written = !d->path || d->device == HV_DEVICE_CDROM || d->device == HV_DEVICE_FLOPPY;
        for (size_t k = 0; k < vm->n_disks && !written; k++)
            written = restore_same_file(d->path, vm->disks[k].path);
        for (size_t k = 0; k < vm->record.n_disks && !written; k++) { /* left out of the backup as asked for: the VM keeps it */
            const struct vm_record_disk *kept = &vm->record.disks[k];
            written = kept->excluded_by && kept->path && restore_same_file(d->path, kept->path);
        }
        if (!written && !restore_deletes(vm, d->path))
            json_array_append_new(list, json_text(d->path));
    }
    return list;
}

static json_t *deleted(const struct restore_vm *vm)
{
    json_t *list = json_array();

    for (size_t i = 0; i < vm->n_old; i++)
        json_array_append_new(list, json_text(vm->old[i].path));
    return list;
}

/* M16, as the VM writer does it. */
static json_t *default_link(const struct restore *r, const struct restore_vm *vm)
{
    const struct restore_disk *d = NULL;

    for (size_t i = 0; i < vm->n_disks && !d; i++)
        d = vm->disks[i].block_device ? NULL : &vm->disks[i];
    _cleanup_free_ char *dir = d && !vm->part && r->default_dir ? io_dirname(d->path) : NULL;
    _cleanup_free_ char *link = dir ? io_path(r->default_dir, restore_name(r, vm)) : NULL;
    if (!link || restore_same_file(dir, r->default_dir) || (io_exists(dir) && !vm_needs_link(r->default_dir, link, dir)))
        return json_null();
    return json_pack("{s:o, s:o}", "path", json_text(link), "to", json_text(dir));
}

/* "network lan"; null for a NIC that will be left unconnected. */
static int nic_target(const struct restore *r, const struct restore_vm *vm, size_t i, const struct hv_nic *nic, json_t **ret,
                      struct err *err)
{
    struct hv_nic into = *nic;
    enum hv_switch state;
    char key[24];

    snprintf(key, sizeof(key), "%zu", i);
    const json_t *wanted = json_object_get(restore_definition(vm) == vm->live ? vm->nics_live : vm->nics, key);
    int rc = wanted && json_is_string(wanted) ? hv_switch_find(r->s->hv, json_string_value(wanted), &into, err) : 0;
    if (rc >= 0)
        rc = hv_switch_state(r->s->hv, &into, &state, err);
    if (rc < 0)
        return rc;
    *ret = json_null();
    if (json_is_null(wanted) || state == HV_SWITCH_ABSENT || state == HV_SWITCH_UNREACHABLE)
        return 0;
    _cleanup_free_ char *text = str_format("%s%s%s%s", into.type, into.source ? " " : "", into.source ? into.source : "",
                                           state == HV_SWITCH_INACTIVE ? ", to be started" : "");
    *ret = json_text(text);
    return 0;
}

static int nics(const struct restore *r, const struct restore_vm *vm, json_t *list, struct err *err)
{
    const struct hv_def *def = restore_definition(vm);

    for (size_t i = 0; i < hv_def_nic_count(def); i++) {
        struct hv_nic nic;
        json_t *to = NULL;
        int rc = hv_def_nic(def, i, &nic, err);
        if (rc >= 0)
            rc = nic_target(r, vm, i, &nic, &to, err);
        if (rc < 0)
            return rc;
        bool new_mac = vm->as_uuid && !r->job->keep_mac;
        _cleanup_free_ char *was = str_format("%s%s%s", nic.type, nic.source ? " " : "", nic.source ? nic.source : "");
        json_array_append_new(list, json_pack("{s:o, s:o, s:b, s:o}", "mac", new_mac ? json_null() : json_text(nic.mac), "was",
                                              json_text(was), "link", !json_is_null(to), "to", to));
    }
    return 0;
}

static int vm_plan(const struct restore *r, const struct restore_vm *vm, json_t **ret, struct err *err)
{
    bool replaces = vm->now && !vm->as_uuid && !r->job->images_only, whole = !vm->part && !r->job->images_only;
    bool runs = replaces && vm->now->state != HV_OFF && vm->now->state != HV_SAVED;
    _cleanup_json_ json_t *list = json_array(), *files = json_array(), *warnings = json_array();
    _cleanup_strv_ char **missing = NULL;

    json_array_extend(warnings, vm->notes);
    json_array_extend(warnings, vm->shared);
    int rc = whole ? nics(r, vm, list, err) : 0;
    if (rc >= 0)
        rc = writes(r, vm, files, err);
    if (rc >= 0 && whole)
        rc = hv_def_missing(r->s->hv, vm->def, &missing, err);
    if (rc < 0)
        return rc;
    for (char **m = missing; m && *m; m++) {
        _cleanup_free_ char *text = str_format("its %s is not on this host: the VM cannot start without it", *m);
        json_array_append_new(warnings, json_text(text));
    }
    _cleanup_free_ char *emulator = whole ? hv_def_missing_emulator(vm->def) : NULL;
    if (emulator) {
        _cleanup_free_ char *text = str_format("its emulator %s is not on this host: the VM uses this host's emulator", emulator);
        json_array_append_new(warnings, json_text(text));
    }
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:o, s:b, s:o, s:b, s:b, s:b, s:o, s:b, s:O, s:o, s:o, s:O, s:O}", "name", vm->name, "uuid", vm->uuid,
                  "as", json_text(vm->as_uuid ? r->job->name : NULL), "as_uuid", json_text(vm->as_uuid), "part", vm->part, "here",
                  json_text(vm->now ? hv_state_name(vm->now->state) : NULL), "turn_off", runs, "delete", replaces && !vm->part, "register",
                  whole, "state", json_text(r->job->images_only ? NULL : vm->state), "memory", vm->with_memory && !vm->part, "write", files,
                  "stays", staying(vm), "link", whole ? default_link(r, vm) : json_null(), "nics", list, "warnings", warnings);
    *ret = o;
    if (o) {
        json_object_set_new(o, "deletes", deleted(vm));
        json_object_set_new(o, "consistency", json_string(vm_level_name(vm->record.consistency)));
        json_object_set(o, "demands", vm->demands);
    }
    return o ? 0 : err_nomem(err);
}

/* How many of its files exist. */
static size_t replaced(const struct restore_files *f)
{
    size_t i, n = 0;
    json_t *e;

    json_array_foreach (json_object_get(f->index, "files"), i, e) {
        const char *path = json_get_text(e, "path"), *type = json_get_text(e, "type");
        n += path && type && strcmp(type, "folder") && io_exists(path);
    }
    return n;
}

static json_t *restore_dry_components(const struct restore *r)
{
    json_t *list = restore_files_report(r);

    for (size_t i = 0; i < r->n_files; i++)
        json_object_set_new(json_array_get(list, i), "replaces", json_integer((json_int_t)replaced(&r->files[i])));
    return list;
}

int restore_dry_report(struct restore *r, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *vms = json_array();

    for (size_t i = 0; i < r->n_vms; i++) {
        json_t *plan = NULL;
        int rc = vm_plan(r, &r->vms[i], &plan, err);
        if (rc < 0)
            return err_context(err, "VM %s", r->vms[i].name);
        json_array_append_new(vms, plan);
    }
    int64_t us = restore_instant(r);
    int64_t age = us < clock_wall_us() ? (clock_wall_us() - us) / 1000000 : 0;
    char instant[32];
    *ret = json_pack("{s:s, s:s, s:I, s:b, s:O, s:o}", "point", store_point_id(r->point), "instant", clock_format(us, instant), "age_s",
                     (json_int_t)age, "dry_run", true, "vms", vms, "files", restore_dry_components(r));
    if (!*ret)
        return err_nomem(err);
    if (r->refused)
        json_object_set(*ret, "refused", r->refused);
    else
        json_object_set_new(*ret, "refused", json_array());
    json_object_set_new(*ret, "asks", json_boolean(restore_plan_asks(*ret)));
    return 0;
}
