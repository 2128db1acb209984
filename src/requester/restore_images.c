/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything of VMs as files in a folder, where there is no libvirt, or it is not to know: disk images, NVRAM, saved memory, and the
 * definition, whose paths are those of the files. No writer takes part: there is none without libvirt. */
#include "base/io.h"
#include "requester/effects.h"
#include "requester/restore.h"
#include <errno.h>
#include <string.h>

static int no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "out of memory");
}

/* A free name in the folder, or one that may be replaced. */
static int file_for(const struct restore *r, const struct restore_vm *vm, const char *ending, char **ret, struct err *err)
{
    _cleanup_free_ char *name = str_format("%s.%s", vm->name, ending);

    if (!name || strchr(name, '/'))
        return name ? err_set(err, EUCLEAN, "\"%s\" is no name for a file", name) : no_memory(err);
    *ret = io_path(r->to_dir, name);
    if (!*ret)
        return no_memory(err);
    return r->job->overwrite || !io_exists(*ret) ? 0 : err_set(err, EEXIST, "VM %s: %s is there already; --overwrite replaces it", vm->name,
                                                               *ret);
}

static int name_files(struct restore *r, struct restore_vm *vm, struct err *err)
{
    int rc = file_for(r, vm, "xml", &vm->definition, err);

    return rc >= 0 && vm->with_memory ? file_for(r, vm, "save", &vm->memory, err) : rc;
}

/* The definition names the files that were written; what was not, stays as it was. */
static int correct_definition(struct restore_vm *vm, char **ret, struct err *err)
{
    int rc = 0;

    for (size_t k = 0; k < vm->n_disks && rc >= 0; k++) {
        const char *was = json_get_text(vm->disks[k].record, "format");
        bool other = was && strcmp(was, vm->disks[k].format);
        rc = hv_def_set_disk(vm->def, vm->disks[k].target, vm->disks[k].path, other ? vm->disks[k].format : NULL, err);
    }
    if (rc >= 0 && vm->nvram_path)
        rc = hv_def_set_nvram(vm->def, vm->nvram_path, err);
    return rc < 0 ? rc : hv_def_text(vm->def, ret, err);
}

static int stage_definition(struct restore *r, struct restore_vm *vm, struct err *err)
{
    _cleanup_free_ char *text = NULL;
    const char *made;

    int rc = correct_definition(vm, &text, err);
    if (rc >= 0)
        rc = stage_folder(r->stage, vm->uuid, r->to_dir, 0711, err);
    if (rc >= 0)
        rc = stage_add(r->stage, vm->uuid, vm->definition, STAGE_NOFOLLOW, &made, err);
    if (rc >= 0)
        rc = io_replace_file(made, text, strlen(text), 0600, err);
    return rc < 0 ? rc : stage_made(r->stage, made, err);
}

static int stage_others(struct restore *r, struct restore_vm *vm, struct err *err)
{
    const char *made;

    int rc = stage_definition(r, vm, err);
    if (rc >= 0 && vm->memory)
        rc = restore_stage_part(r, vm, restore_find_part(vm, "memory"), vm->memory, &made, err);
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
            log_warning(r->rq->config.log, "an old file stays behind: %s", why.text);
    return rc;
}
