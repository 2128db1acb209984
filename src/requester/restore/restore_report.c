/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "requester/restore/restore.h"
#include <stdarg.h>
#include <stdio.h>

static json_t *disk_report(const struct restore_disk *d)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:b}", "target", d->target, "path", d->path, "real", json_text(d->real), "format",
                     d->format, "size", (json_int_t)d->size, "flattened", d->flattened);
}

static json_t *list_or_empty(const json_t *o, const char *key)
{
    json_t *list = json_object_get(o, key);

    return json_is_array(list) ? json_incref(list) : json_array();
}

__attribute__((format(printf, 3, 4))) static void add_step(json_t *list, const char *step, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    json_t *text = json_text_format(fmt, ap);
    va_end(ap);
    json_array_append_new(list, json_pack("{s:s, s:o}", "step", step, "text", text));
}

/* The sequence as the user sees it: what the VM writer did before the files, the files, their status (M15), what it did after. */
static json_t *steps(const struct restore_vm *vm)
{
    const json_t *told = json_object_get(vm->told, "steps");
    json_t *list = json_array();
    size_t n = json_array_size(told), before = vm->steps_before < n ? vm->steps_before : n;

    for (size_t i = 0; i < before; i++)
        json_array_append(list, json_array_get(told, i));
    for (size_t i = 0; i < vm->n_disks; i++)
        add_step(list, "restore", "disk %s to %s", vm->disks[i].target, vm->disks[i].path);
    if (vm->nvram_path)
        add_step(list, "restore", "NVRAM to %s", vm->nvram_path);
    if (vm->told)
        add_step(list, "status", vm->files_done ? "all files restored (VSS_RS_ALL)" : "not all files restored");
    for (size_t i = before; i < n; i++)
        json_array_append(list, json_array_get(told, i));
    for (size_t i = 0; vm->present && i < vm->n_old; i++)
        add_step(list, "delete", "old image %s", vm->old[i].path);
    return list;
}

static void report_add_tpm(json_t *list, const struct restore *r, const struct restore_vm *vm)
{
    for (size_t i = 0; i < vm->record.n_parts; i++) {
        const struct vm_record_part *part = &vm->record.parts[i];
        _cleanup_free_ char *path = NULL;
        if (restore_tpm_target(r, vm, part, &path, NULL) > 0)
            json_array_append_new(list, json_pack("{s:s, s:o}", "what", "TPM", "path", json_text(path)));
    }
}

/* What was written beside disks. */
static json_t *other_files(const struct restore *r, const struct restore_vm *vm)
{
    json_t *list = json_array();

    if (vm->nvram_path)
        json_array_append_new(list, json_pack("{s:s, s:o}", "what", "NVRAM", "path", json_text(vm->nvram_path)));
    if (r->job->images_only && vm->definition)
        json_array_append_new(list, json_pack("{s:s, s:o}", "what", "definition", "path", json_text(vm->definition)));
    if (r->job->images_only && vm->live_path)
        json_array_append_new(list, json_pack("{s:s, s:o}", "what", "definition it ran with", "path", json_text(vm->live_path)));
    if (r->job->images_only && vm->memory)
        json_array_append_new(list, json_pack("{s:s, s:o}", "what", "memory", "path", json_text(vm->memory)));
    report_add_tpm(list, r, vm);
    return list;
}

static json_t *restore_report_vm_report(const struct restore *r, const struct restore_vm *vm)
{
    json_t *o = json_object(), *disks = json_array(), *warnings = list_or_empty(vm->told, "warnings");

    json_array_extend(warnings, vm->notes);
    for (size_t i = 0; i < vm->n_disks; i++) {
        const struct restore_disk *d = &vm->disks[i];
        _cleanup_free_ char *text = NULL;
        json_array_append_new(disks, disk_report(d));
        if (d->flattened && (text = str_format("disk %s had backing images and is a single image now", d->target)))
            json_array_append_new(warnings, json_string(text));
    }
    json_object_set_new(o, "name", json_text(vm->name));
    json_object_set_new(o, "uuid", json_text(vm->uuid));
    json_object_set_new(o, "as", json_text(vm->as_uuid ? r->job->name : NULL));
    json_object_set_new(o, "as_uuid", json_text(vm->as_uuid));
    json_object_set_new(o, "state", json_text(vm->state));
    json_object_set_new(o, "registered", json_boolean(vm->present));
    json_object_set_new(o, "memory", json_boolean(vm->memory != NULL));
    json_object_set_new(o, "disks", disks);
    json_object_set_new(o, "files", other_files(r, vm));
    json_object_set_new(o, "steps", steps(vm));
    json_object_set_new(o, "warnings", warnings);
    json_object_set(o, "demands", vm->demands);
    return o;
}

json_t *restore_files_report(const struct restore *r)
{
    json_t *files = json_array();

    for (size_t i = 0; i < r->n_files; i++) {
        const struct restore_files *f = &r->files[i];
        json_array_append_new(files,
                              json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "writer", f->writer_id, "component", f->component,
                                        "files", (json_int_t)json_array_size(json_object_get(f->index, "files")), "set_ids",
                                        f->set_ids ? json_incref(f->set_ids) : json_array(), "path", json_text(f->to), "real",
                                        json_text(f->real), "alternate", f->alternates ? json_incref(f->alternates) : json_array(),
                                        "service", json_text(restore_service(f))));
    }
    return files;
}

json_t *restore_report(struct restore *r)
{
    json_t *vms = json_array();

    for (size_t i = 0; i < r->n_vms; i++)
        json_array_append_new(vms, restore_report_vm_report(r, &r->vms[i]));
    json_t *o = json_pack("{s:s, s:o, s:o, s:I}", "point", store_point_id(r->point), "vms", vms, "files", restore_files_report(r),
                          "elapsed_ms", (json_int_t)(clock_mono_ms() - r->begun_ms));
    restore_tell_point(r, o);
    return o;
}
