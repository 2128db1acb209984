/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A copy must not be started on what is its original's. The VM writer takes all of that out of the copy's definitions; here the same is
 * done to definitions that nobody uses, so that it is known, and told, before anything is written. */
#include "requester/restore/restore.h"
#include <errno.h>
#include <string.h>

/* missing: what the copy will not find on this host; NULL: not asked. */
static int make_copy(const struct restore *r, const struct restore_vm *vm, const struct hv_def *of, bool memory, char ***notes,
                     char ***missing, struct err *err)
{
    const struct hv_def_copy copy = { r->job->name, vm->as_uuid, r->job->keep_mac, memory };
    _cleanup_strv_ char **restored = NULL, **first = NULL;
    _cleanup_free_ char *xml = NULL;
    struct hv_def *def = NULL;

    for (size_t k = 0; k < vm->n_disks; k++) {
        const char *here = restore_disk_in(vm, of, &vm->disks[k]);
        if (here && strv_add(&restored, here) < 0)
            return err_nomem(err);
    }
    int rc = hv_def_text(of, &xml, err);
    if (rc >= 0)
        rc = hv_def_parse(xml, &def, err);
    if (rc >= 0)
        rc = hv_def_make_copy(def, &copy, &first, err);
    if (rc >= 0)
        rc = hv_def_leave_disks(def, restored, memory, notes, err);
    if (rc >= 0 && missing)
        rc = hv_def_missing(r->s->hv, def, missing, err);
    for (char **n = first; rc >= 0 && n && *n; n++)
        if (strv_add(notes, *n) < 0)
            rc = err_nomem(err);
    hv_def_free(def);
    return rc;
}

int restore_check_shared(struct restore_vm *vm, const struct restore *r, struct err *err)
{
    _cleanup_strv_ char **notes = NULL;

    if (!vm->as_uuid || r->job->images_only || vm->part)
        return 0;
    const struct hv_def *runs = restore_definition(vm);
    int rc = make_copy(r, vm, runs, vm->with_memory, &notes, &vm->copy_lacks, err);
    if (rc >= 0 && (runs != vm->def || vm->with_memory))
        rc = make_copy(r, vm, vm->def, false, &notes, NULL, err);
    if (rc < 0)
        return err_context(err, "VM %s", vm->name);
    if (!vm->shared && !(vm->shared = json_array()))
        return err_nomem(err);
    for (char **n = notes; n && *n; n++) {
        bool told = false;
        for (size_t i = 0; i < json_array_size(vm->shared); i++)
            told |= !strcmp(json_string_value(json_array_get(vm->shared, i)), *n);
        if (!told && json_array_append_new(vm->shared, json_string(*n)) < 0)
            return err_nomem(err);
    }
    return 0;
}
