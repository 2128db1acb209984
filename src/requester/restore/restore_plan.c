/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be restored: from the point's listing, the VM writer's records and the stored documents. All of it came
 * from a repository, so all of it is checked. */
#include "requester/restore/restore.h"
#include "base/guid.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

/* ---- VMs ------------------------------------------------------------------------------------------------------------------*/

/* Names of disks and formats become parts of file names and options of qemu-img. */
static bool is_word(const char *s)
{
    return s && *s && strlen(s) <= 32 && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

static int plan_disk(struct restore *r, struct restore_vm *vm, const struct vm_record_disk *record, struct err *err)
{
    struct restore_disk *d = &vm->disks[vm->n_disks];

    if (!record->covered)
        return 0;
    d->record = record;
    d->target = record->target;
    d->format = record->format;
    d->image = record->stored_as;
    d->was = record->path;
    if (!is_word(d->target) || !is_word(d->format) || !d->image)
        return err_set(err, EUCLEAN, "VM %s: the entry of a disk is incomplete or damaged", vm->name);
    d->label = str_format("%s %s", vm->name, d->target);
    vm->n_disks++;
    if (!d->label)
        return err_nomem(err);
    d->flattened = record->backing && record->backing[0];
    int e = store_image_open(r->point, d->image, &d->content, err);
    if (e < 0)
        return err_context(err, "VM %s, disk %s", vm->name, d->target);
    d->size = store_image_size(d->content);
    e = store_image_data(d->content, &d->data, err);
    return e < 0 ? err_context(err, "VM %s, disk %s", vm->name, d->target) : 0;
}

const struct vm_record_part *restore_find_part(const struct restore_vm *vm, const char *name)
{
    return vm_record_find_part(&vm->record, name);
}

static int restore_plan_plan_vm(struct restore *r, const json_t *listed, struct err *err)
{
    struct restore_vm *vm = &r->vms[r->n_vms++];

    vm->name = vm_record_listed(listed).name;
    vm->uuid = vm_record_listed(listed).uuid;
    if (!vm->name || !vm->uuid || !guid_parse(vm->uuid, NULL))
        return err_set(err, EUCLEAN, "the summary of the restore point has an invalid VM entry");
    int rc = point_read_vm(r->point, vm->uuid, &vm->record, err);
    if (rc < 0)
        return err_context(err, "VM %s", vm->name);
    vm->disks = calloc(vm->record.n_disks + 1, sizeof(*vm->disks));
    if (!vm->disks)
        return err_nomem(err);
    for (size_t i = 0; i < vm->record.n_disks; i++)
        if ((rc = plan_disk(r, vm, &vm->record.disks[i], err)) < 0)
            return rc;
    return restore_read_definitions(r, vm, err);
}

static int plan_unknown_vm(const struct restore *r, const char *name, struct err *err)
{
    json_t *vms = point_vms(r->meta), *vm;
    size_t i, n = json_array_size(vms);
    _cleanup_free_ const char **names = calloc(n + 1, sizeof(*names));

    json_array_foreach (vms, i, vm)
        if (names)
            names[i] = vm_record_listed(vm).name ? vm_record_listed(vm).name : "";
    const char *like = names ? text_similar(name, names, n) : NULL;
    return err_set(err, ENOENT, "restore point %.12s contains no VM '%s'%s%s%s", store_point_id(r->point), name,
                   like ? "; did you mean '" : "", like ? like : "", like ? "'?" : "");
}

static bool planned(const struct restore *r, const json_t *listed)
{
    for (size_t i = 0; i < r->n_vms; i++)
        if (r->vms[i].uuid == vm_record_listed(listed).uuid)
            return true;
    return false;
}

static bool chosen_writers(const struct restore *r)
{
    return r->job->writers && r->job->writers[0];
}

static int plan_vms(struct restore *r, struct err *err)
{
    json_t *vms = point_vms(r->meta);
    int rc = 0;

    if (chosen_writers(r) && !r->job->vms)
        return 0;
    r->vms = calloc(json_array_size(vms) + 1, sizeof(*r->vms));
    if (!r->vms)
        return err_nomem(err);
    for (size_t i = 0; rc >= 0 && (r->job->vms ? r->job->vms[i] != NULL : i < json_array_size(vms)); i++) {
        json_t *listed = r->job->vms ? point_find_vm(r->meta, r->job->vms[i]) : json_array_get(vms, i);
        if (!listed)
            return plan_unknown_vm(r, r->job->vms[i], err);
        rc = planned(r, listed) ? 0 : restore_plan_plan_vm(r, listed, err);
    }
    return rc;
}

/* ---- Components of command writers: all of them, or none where VMs are named -----------------------------------------------*/

static int plan_component(struct restore *r, const json_t *writer, const json_t *entry, struct err *err)
{
    const char *id = json_get_text(writer, "id"), *name = json_get_text(writer, "name");
    struct restore_files *more = realloc(r->files, (r->n_files + 1) * sizeof(*more));
    if (!more)
        return err_nomem(err);
    r->files = more;
    struct restore_files *f = &more[r->n_files];
    *f = (struct restore_files){
        .writer_id = id,
        .writer = name ? name : id,
        .logical_path = json_get_text(entry, "logical_path"),
        .component = json_get_text(entry, "name"),
        .number = (size_t)json_get_u64(entry, "number"),
    };
    r->n_files++;
    if (!f->logical_path || !f->component)
        return err_set(err, EUCLEAN, "the summary of the restore point has an invalid component entry");
    if (!(f->group = restore_files_group(f)))
        return err_nomem(err);
    int rc = files_index(r->point, f->number, &f->index, err);
    return rc < 0 ? err_context(err, "component %s", f->component) : 0;
}

/* wanted: "WRITER" or "WRITER/COMPONENT". */
static bool matches_writer(const char *wanted, const char *writer, const char *component)
{
    size_t n = writer ? strlen(writer) : 0;

    return n && !strncasecmp(wanted, writer, n) && (!wanted[n] || (wanted[n] == '/' && component && !strcmp(wanted + n + 1, component)));
}

static bool component_is_wanted(const struct restore *r, const json_t *writer, const json_t *entry)
{
    const char *component = json_get_text(entry, "name");
    bool found = !chosen_writers(r);

    for (size_t i = 0; !found && r->job->writers[i]; i++)
        found = matches_writer(r->job->writers[i], json_get_text(writer, "name"), component) ||
                matches_writer(r->job->writers[i], json_get_text(writer, "id"), component);
    return found;
}

/* Each that was asked for is there. */
static int check_wanted(const struct restore *r, struct err *err)
{
    for (size_t i = 0; chosen_writers(r) && r->job->writers[i]; i++) {
        bool found = false;
        for (size_t k = 0; k < r->n_files && !found; k++)
            found = matches_writer(r->job->writers[i], r->files[k].writer, r->files[k].component) ||
                    matches_writer(r->job->writers[i], r->files[k].writer_id, r->files[k].component);
        if (!found)
            return err_set(err, ENOENT, "restore point %.12s contains no files of writer '%s'; kvss show lists what it contains",
                           store_point_id(r->point), r->job->writers[i]);
    }
    return 0;
}

static int restore_plan_plan_files(struct restore *r, struct err *err)
{
    const struct requester_restore *job = r->job;
    size_t i, k;
    json_t *w, *c;
    int rc;

    bool of_vms = job->vms || job->to || job->pool || job->name || job->disks; /* these say what becomes of VMs */
    if (job->no_writers || job->images_only || (of_vms && !chosen_writers(r)))
        return 0;
    json_array_foreach (json_object_get(r->meta, "writers"), i, w) {
        const char *id = json_get_text(w, "id");
        if (!id)
            return err_set(err, EUCLEAN, "the summary of the restore point has an invalid writer entry");
        json_array_foreach (json_object_get(w, "components"), k, c)
            if (component_is_wanted(r, w, c) && (rc = plan_component(r, w, c, err)) < 0)
                return err_context(err, "writer %s", json_get_text(w, "name"));
    }
    return check_wanted(r, err);
}

int restore_plan(struct restore *r, struct err *err)
{
    int rc = r->job->files_to ? 0 : plan_vms(r, err);

    if (rc >= 0)
        rc = restore_plan_plan_files(r, err);
    if (rc >= 0 && r->job->files_to && r->n_files == 0)
        return err_set(err, ENOENT, "restore point %.12s contains no files of writers", store_point_id(r->point));
    if (rc >= 0 && r->n_vms == 0 && r->n_files == 0)
        rc = err_set(err, ENOENT, "restore point %.12s contains nothing to restore", store_point_id(r->point));
    return rc;
}
