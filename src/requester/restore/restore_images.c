/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything of VMs as files in a folder, where there is no libvirt, or it is not to know: disk images, NVRAM, saved memory, and the
 * definition, whose paths are those of the files. No writer takes part: there is none without libvirt. */
#include "base/io.h"
#include "requester/stage/stage.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

/* A free name in the folder, or one that may be replaced. */
static int file_for(const struct restore *r, const struct restore_vm *vm, const char *ending, char **ret, struct err *err)
{
    _cleanup_free_ char *name = str_format("%s.%s", vm->name, ending);

    if (!name || strchr(name, '/'))
        return name ? err_set(err, EUCLEAN, "\"%s\" is not a valid file name", name) : err_nomem(err);
    *ret = io_path(r->to_dir, name);
    if (!*ret)
        return err_nomem(err);
    return r->job->overwrite || !io_exists(*ret)
               ? 0
               : err_set(err, EEXIST, "VM %s: %s already exists; use --overwrite to replace it", vm->name, *ret);
}

/* Both definitions, where the VM ran with another one than that for its next start. */
static bool wants_live(const struct restore_vm *vm)
{
    return vm->live && vm->live_differs;
}

static int name_files(struct restore *r, struct restore_vm *vm, struct err *err)
{
    int rc = restore_find_part(vm, VM_PART_DEFINITION) ? file_for(r, vm, "xml", &vm->definition, err) : 0;

    if (rc >= 0 && wants_live(vm))
        rc = file_for(r, vm, "live.xml", &vm->live_path, err);
    return rc >= 0 && vm->with_memory ? file_for(r, vm, "save", &vm->memory, err) : rc;
}

/* The definition names the files that were written; what was not, stays as it was. */
static int correct_definition(const struct restore_vm *vm, struct hv_def *def, struct buf *ret, struct err *err)
{
    _cleanup_free_ char *text = NULL;
    int rc = 0;

    for (size_t k = 0; k < vm->n_disks && rc >= 0; k++) {
        const struct restore_disk *d = &vm->disks[k];
        const char *was = d->record->format, *here = restore_disk_in(vm, def, d);
        bool other = was && strcmp(was, d->format);
        rc = here ? hv_def_set_disk(def, here, d->path, other ? d->format : NULL, err) : 0;
    }
    if (rc >= 0 && vm->nvram_path)
        rc = hv_def_set_nvram(def, vm->nvram_path, err);
    if (rc >= 0)
        rc = hv_def_text(def, &text, err);
    return rc < 0 ? rc : buf_addf(ret, "%s", text) < 0 ? err_nomem(err) : 0;
}

/* One that is no definition is handed out as it lies in the restore point: no image is kept back for its sake. */
static int definition_text(struct restore *r, struct restore_vm *vm, struct hv_def *def, struct buf *ret, struct err *err)
{
    struct err why = ERR_INIT;

    int rc = def ? correct_definition(vm, def, ret, &why) : -ENOENT;
    if (rc >= 0)
        return 0;
    if (def && restore_note(vm, "%s: the definition is written unchanged", why.text) < 0)
        return err_nomem(err);
    buf_free(ret);
    const struct vm_record_part *part = restore_find_part(vm, def && def == vm->live ? VM_PART_LIVE : VM_PART_DEFINITION);
    return part ? store_read_document(r->point, part->stored_as, ret, err) : err_set(err, ENOENT, "the restore point does not contain it");
}

static int stage_text(struct restore *r, struct restore_vm *vm, struct hv_def *def, char **path, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct err why = ERR_INIT;
    const char *made;

    if (!*path)
        return 0;
    if (definition_text(r, vm, def, &text, &why) < 0) { /* noted when it was read for the plan */
        free(TAKE_PTR(*path));
        return 0;
    }
    _cleanup_close_ int fd = -1;
    int rc = stage_folder(r->stage, vm->uuid, r->to_dir, 0711, err);
    if (rc >= 0)
        rc = stage_add(r->stage, vm->uuid, *path, STAGE_NOFOLLOW, &made, err);
    if (rc >= 0)
        rc = stage_create(r->stage, made, &fd, err);
    if (rc >= 0 && ((rc = io_write(fd, text.data ? text.data : (const void *)"", text.len)) < 0 || fsync(fd) < 0))
        rc = err_errno(err, rc < 0 ? -rc : errno, "cannot write %s", made);
    return rc < 0 ? rc : stage_made(r->stage, made, err);
}

static int stage_definition(struct restore *r, struct restore_vm *vm, struct err *err)
{
    int rc = stage_text(r, vm, vm->def, &vm->definition, err);

    return rc < 0 ? rc : stage_text(r, vm, vm->live, &vm->live_path, err);
}

static int stage_others(struct restore *r, struct restore_vm *vm, struct err *err)
{
    const char *made;

    int rc = stage_definition(r, vm, err);
    if (rc >= 0 && vm->memory)
        rc = restore_stage_part(r, vm, restore_find_part(vm, VM_PART_MEMORY), vm->memory, &made, err);
    return rc < 0 ? err_context(err, "VM %s", vm->name) : 0;
}

int restore_images_only(struct restore *r, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = 0;

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = name_files(r, &r->vms[i], err);
    if (rc < 0 || r->job->dry_run)
        return rc;
    rc = restore_confirm(r, err);
    if (rc >= 0)
        rc = stage_new(r->s->journal, &r->stage, err);
    if (rc >= 0)
        rc = restore_stage(r, err);
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = stage_others(r, &r->vms[i], err);
    if (rc >= 0)
        rc = job_cancelled(r->rq, err);
    if (rc >= 0)
        rc = restore_files_in_place(r, err);
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = journal_commit(r->s->journal, r->vms[i].uuid, err);
    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        if (stage_finish(r->stage, r->vms[i].uuid, &why) < 0)
            log_warning(r->rq->config.log, "cannot delete an old file: %s", why.text);
    return rc;
}
