/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "requester/restore.h"

static json_t *disk_report(const struct restore_disk *d)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:b}", "target", d->target, "path", d->path, "format", d->format, "size",
                     (json_int_t)d->size, "flattened", d->flattened);
}

static json_t *list_or_empty(const json_t *o, const char *key)
{
    json_t *list = json_object_get(o, key);

    return json_is_array(list) ? json_incref(list) : json_array();
}

static json_t *vm_report(const struct restore_vm *vm)
{
    json_t *o = json_object(), *disks = json_array(), *warnings = list_or_empty(vm->result, "warnings");

    for (size_t i = 0; i < vm->n_disks; i++) {
        const struct restore_disk *d = &vm->disks[i];
        _cleanup_free_ char *text = NULL;
        json_array_append_new(disks, disk_report(d));
        if (d->flattened && (text = str_format("disk %s had backing images; it is one image without any now", d->target)))
            json_array_append_new(warnings, json_string(text));
    }
    json_object_set_new(o, "name", json_text(vm->name));
    json_object_set_new(o, "uuid", json_text(vm->uuid));
    json_copy_key(o, vm->record, "state");
    json_object_set_new(o, "registered", json_boolean(vm->present));
    json_object_set_new(o, "memory", json_boolean(vm->memory != NULL));
    json_object_set_new(o, "disks", disks);
    json_object_set_new(o, "steps", list_or_empty(vm->result, "steps"));
    json_object_set_new(o, "warnings", warnings);
    return o;
}

json_t *restore_report(struct restore *r)
{
    json_t *vms = json_array(), *files = json_array();

    for (size_t i = 0; i < r->n_vms; i++)
        json_array_append_new(vms, vm_report(&r->vms[i]));
    for (size_t i = 0; i < r->n_files; i++) {
        const struct restore_files *f = &r->files[i];
        json_array_append_new(files, json_pack("{s:s, s:s, s:I}", "writer", f->writer_id, "component", f->component, "files",
                                               (json_int_t)json_array_size(json_object_get(f->index, "files"))));
    }
    return json_pack("{s:s, s:o, s:o, s:I}", "point", store_point_id(r->point), "vms", vms, "files", files, "elapsed_ms",
                     (json_int_t)(clock_mono_ms() - r->begun_ms));
}
