/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The restore job: VSS's sequence (M24). Stored documents, selection, PreRestore (VMs turned off and deleted, M13), files (M14),
 * statuses, PostRestore (VMs registered, M15-M18). The new files are made beside the old ones before PreRestore, so that a damaged
 * restore point or a full disk is found while every VM is as it was, and put into place after it. Up to the moment when the VM writer
 * commits a VM's effects (PostRestore, journal_commit()) the old one comes back: files, definition, state. After it, only the new one. */
#include "requester/restore/restore.h"
#include "base/clock.h"
#include "base/io.h"
#include "requester/session/session.h"
#include "requester/repository/repository.h"
#include <errno.h>
#include <string.h>

/* ---- Documents and selection ----------------------------------------------------------------------------------------------*/

static int load_text(struct restore *r, const char *name, struct buf *ret, struct err *err)
{
    int rc = store_read_document(r->point, name, ret, err);

    if (rc == -ENOENT)
        return err_set(err, ENOENT, "restore point %.12s has no %s and cannot be restored", store_point_id(r->point), name);
    if (rc >= 0 && (!ret->len || memchr(ret->data, '\0', ret->len)))
        return err_set(err, EUCLEAN, "document %s is not text", name);
    return rc;
}

static int load_documents(struct restore *r, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t n = 0;

    int rc = load_text(r, POINT_BCD, &text, err);
    if (rc >= 0)
        rc = vss_initialize_for_restore(r->s->vss, (const char *)text.data, err);
    for (char *const *d = store_point_documents(r->point); rc >= 0 && d && *d; d++) {
        if (strncmp(*d, POINT_WMD_PREFIX, strlen(POINT_WMD_PREFIX)))
            continue;
        rc = load_text(r, *d, &text, err);
        if (rc >= 0)
            rc = vss_load_writer_metadata(r->s->vss, (const char *)text.data, err);
        n++;
    }
    if (rc >= 0 && n == 0)
        rc = err_set(err, ENOENT, "restore point %.12s has no writer metadata and cannot be restored", store_point_id(r->point));
    return rc < 0 ? rc : vss_gather_writer_metadata(r->s->vss, err);
}

static int select_components(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        if ((rc = vss_set_selected_for_restore(r->s->vss, VM_WRITER_ID, "", r->vms[i].uuid, true, err)) < 0)
            err_context(err, "VM %s", r->vms[i].name);
    for (size_t i = 0; i < r->n_files && rc >= 0; i++) {
        const struct restore_files *f = &r->files[i];
        if (!vss_writer_find(r->s->vss, f->writer_id))
            return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT,
                           "component %s cannot be restored: writer %s is not installed on this host; use --no-writers for VMs only, "
                           "--writer for other writers, or --files-to to extract its files",
                           f->component, f->writer);
        rc = vss_set_selected_for_restore(r->s->vss, f->writer_id, f->logical_path, f->component, true, err);
    }
    return rc;
}

/* ---- Statuses, PostRestore ------------------------------------------------------------------------------------------------*/

static enum vss_file_restore_status status_of(bool done, bool touched)
{
    return done ? VSS_RS_ALL : touched ? VSS_RS_FAILED : VSS_RS_NONE;
}

/* Every selected component gets one (behaviour 38). */
static int set_statuses(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = vss_set_file_restore_status(r->s->vss, VM_WRITER_ID, "", r->vms[i].uuid,
                                         status_of(r->vms[i].files_done, r->vms[i].files_touched), err);
    for (size_t i = 0; i < r->n_files && rc >= 0; i++) {
        const struct restore_files *f = &r->files[i];
        rc = vss_set_file_restore_status(r->s->vss, f->writer_id, f->logical_path, f->component, status_of(f->done, f->touched), err);
    }
    return rc;
}

static void read_result(struct restore *r, struct restore_vm *vm)
{
    struct vss_component_state st;
    struct err ignored = ERR_INIT; /* without a result the VM is not committed either, and the old one comes back */

    if (vss_get_component_state(r->s->vss, VM_WRITER_ID, "", vm->uuid, &st, &ignored) >= 0 && st.restore_metadata)
        (void)json_parse_object(st.restore_metadata, strlen(st.restore_metadata), "restore metadata", &vm->told, &ignored);
    vm->present = vm->files_done && json_is_true(json_object_get(vm->told, "registered"));
}

/* Between PreRestore and PostRestore come the files, also in the list of steps. */
static void count_steps(struct restore *r)
{
    for (size_t i = 0; i < r->n_vms; i++) {
        _cleanup_json_ json_t *told = NULL;
        struct vss_component_state st;
        struct err ignored = ERR_INIT;
        if (vss_get_component_state(r->s->vss, VM_WRITER_ID, "", r->vms[i].uuid, &st, &ignored) >= 0 && st.restore_metadata &&
            json_parse_object(st.restore_metadata, strlen(st.restore_metadata), "restore metadata", &told, &ignored) >= 0)
            r->vms[i].steps_before = json_array_size(json_object_get(told, "steps"));
    }
}

int restore_settle_files(struct restore *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < r->n_files; i++) {
        const struct restore_files *f = &r->files[i];
        struct err why = ERR_INIT;
        if (!f->done)
            continue;
        int e = journal_commit(r->s->journal, f->group, &why);
        if (e < 0)
            log_error(r->rq->config.log, "component %s was not restored: %s", f->component, why.text);
        else if (stage_finish(r->stage, f->group, &why) < 0 || files_finish_folders(f->index, r->stage, f->group, &why) < 0)
            log_warning(r->rq->config.log, "component %s was restored, but: %s", f->component, why.text);
        if (e >= 0 && f->stored && f->stored->reboot)
            log_warning(r->rq->config.log, "writer %s: restart this host to complete the restore of component %s", f->writer, f->component);
        if (e < 0 && rc == 0)
            rc = err_move(err, &why);
    }
    return rc;
}

/* What stands loses its old files; the rest is left to the undo at the session's end. */
static void restore_settle(struct restore *r)
{
    struct err why = ERR_INIT;

    for (size_t i = 0; i < r->n_vms; i++) {
        read_result(r, &r->vms[i]);
        if (r->vms[i].present && stage_finish(r->stage, r->vms[i].uuid, &why) < 0)
            log_warning(r->rq->config.log, "cannot delete an old file of VM %s: %s", r->vms[i].name, why.text);
    }
    (void)restore_settle_files(r, &why);
}

static int post_restore(struct restore *r, struct err *err)
{
    int rc = set_statuses(r, err);

    if (rc >= 0)
        rc = vss_post_restore(r->s->vss, err);
    if (rc >= 0)
        rc = session_check_status(r->s, "PostRestore", err);
    restore_settle(r);
    return rc;
}

/* ---- The job --------------------------------------------------------------------------------------------------------------*/

/* Nobody else may have what is about to be replaced (behaviour 42), before it is looked at. The original of a copy is left alone. */
static int restore_claim(struct restore *r, struct err *err)
{
    const struct claim_for purpose = { .what = "restore", .change = true };
    const struct patience patience = patience_begin(r->job->wait_ms);
    _cleanup_strv_ char **uuids = NULL;

    if (r->job->images_only || r->job->dry_run || r->job->name)
        return 0;
    for (size_t i = 0; i < r->n_vms; i++)
        if (strv_add(&uuids, r->vms[i].uuid) < 0)
            return err_nomem(err);
    int rc = claims_take(r->rq, r->s->hv, uuids, &purpose, &patience, &r->claims, err);
    if (rc == -EBUSY)
        r->rq->end = REQUESTER_REFUSED;
    return rc;
}

/* Everything that is known before anything is done. */
static int plan(struct restore *r, struct err *err)
{
    int rc = restore_plan(r, err);

    if (rc >= 0)
        rc = restore_claim(r, err);
    if (rc >= 0)
        rc = restore_place(r, err);
    if (rc >= 0)
        rc = restore_plan_move(r, err);
    if (rc >= 0)
        rc = restore_map_networks(r, err);
    if (rc >= 0)
        rc = restore_judge_places(r, err);
    if (rc >= 0)
        rc = restore_judge_definitions(r, err);
    if (rc >= 0 && !r->job->dry_run)
        rc = restore_check_refused(r, err);
    if (rc >= 0 && (rc = restore_check(r, err)) < 0 && json_array_size(r->refused))
        rc = restore_check_refused(r, err); /* a dry run that cannot be made: this would have ended the restore */
    if (rc >= 0 && r->s->hv)
        rc = hv_default_image_dir(r->s->hv, &r->default_dir, err);
    return rc;
}

static int restore_prepare(struct restore *r, struct err *err)
{
    int rc = plan(r, err);

    if (rc >= 0)
        rc = load_documents(r, err);
    if (rc >= 0)
        rc = select_components(r, err);
    if (rc >= 0)
        rc = restore_judge_methods(r, err);
    if (rc >= 0)
        rc = restore_check_places(r, err);
    if (rc >= 0)
        rc = restore_judge_files(r, err);
    if (rc < 0 || r->job->dry_run)
        return rc;
    if ((rc = restore_check_refused(r, err)) < 0)
        return rc;
    rc = restore_confirm(r, err);
    if (rc >= 0)
        rc = restore_prepare_parts(r, err);
    if (rc >= 0)
        rc = stage_new(r->s->journal, &r->stage, err);
    if (rc >= 0)
        rc = restore_stage(r, err);
    if (rc >= 0)
        rc = restore_look_again(r, err);
    return rc < 0 ? rc : job_cancelled(r->rq, err);
}

static int put_files(struct restore *r, struct err *err)
{
    int rc = restore_devices_in_place(r, err); /* that takes long, so what is true of files is looked at after it */

    if (rc >= 0)
        rc = restore_follow_writers(r, err);
    if (rc >= 0)
        rc = restore_stop_services(r, err);
    if (rc >= 0)
        rc = restore_files_in_place(r, err);
    return rc < 0 ? rc : restore_start_services(r, err);
}

static int restore_run(struct restore *r, struct err *err)
{
    int rc = restore_prepare(r, err);

    if (rc < 0)
        return err_context(err, r->devices_touched ? "no VM was changed, but block devices were written to" : "nothing was changed");
    if (r->job->dry_run)
        return 0;
    r->turned_off = true;
    rc = vss_pre_restore(r->s->vss, err);
    if (rc >= 0)
        rc = session_check_status(r->s, "PreRestore", err);
    if (rc < 0)
        return rc;
    __atomic_store_n(&r->rq->carries_on, true, __ATOMIC_SEQ_CST);
    count_steps(r);
    rc = put_files(r, err);
    if (rc >= 0)
        return post_restore(r, err);
    /* The writers hear of it all the same (M15); what they then say adds nothing to the cause. */
    struct err ignored = ERR_INIT;
    (void)post_restore(r, &ignored);
    return rc;
}

static int open_point(struct restore *r, struct err *err)
{
    int rc = repository_open_for(r->rq, KNOWN_TRUST, err);

    if (rc >= 0)
        rc = restore_choose_point(r, err);
    if (rc >= 0)
        rc = point_meta(store_point_meta(r->point), &r->meta, err);
    return rc;
}

static int restore_open_session(struct restore *r, struct err *err)
{
    struct session_options o = { .restore = true };
    static char *const none[] = { NULL };

    o.only = none; /* the stored documents govern: no VM of today need be described */
    return session_open(r->rq, &o, &r->s, err);
}

static void restore_vm_clear(struct restore_vm *vm)
{
    for (size_t k = 0; k < vm->n_disks; k++) {
        free(vm->disks[k].path);
        free(vm->disks[k].real);
        free(vm->disks[k].label);
        store_image_close(vm->disks[k].content);
    }
    free(vm->disks);
    for (size_t i = 0; i < vm->n_old; i++)
        free(vm->old[i].path);
    free(vm->old);
    free(vm->definition);
    free(vm->memory);
    free(vm->nvram_path);
    free(vm->as_uuid);
    free(vm->live_path);
    hv_def_free(vm->def);
    hv_def_free(vm->live);
    hv_domain_free(vm->now);
    json_decref(vm->nics);
    json_decref(vm->nics_live);
    json_decref(vm->demands);
    json_decref(vm->notes);
    json_decref(vm->absent);
    json_decref(vm->shared);
    strv_free(vm->copy_lacks);
    vm_record_clear(&vm->record);
    json_decref(vm->told);
}

void restore_clear_vms(struct restore *r)
{
    for (size_t i = 0; i < r->n_vms; i++)
        restore_vm_clear(&r->vms[i]);
    free(r->vms);
    r->vms = NULL;
    r->n_vms = 0;
}

static void restore_release(struct restore *r, struct err *err)
{
    restore_clear_vms(r); /* domains go before their connection */
    session_close(r->s, err);
    claims_free(r->claims);
    stage_free(r->stage);
    for (size_t i = 0; i < r->n_files; i++) {
        json_decref(r->files[i].index);
        json_decref(r->files[i].set_ids);
        json_decref(r->files[i].alternates);
        free(r->files[i].group);
        free(r->files[i].to);
        free(r->files[i].real);
    }
    free(r->files);
    free(r->default_dir);
    free(r->to_dir);
    json_decref(r->refused);
    json_decref(r->meta);
    store_point_close(r->point);
}

/* Everything that was restored stands, its groups are committed: what is still open in them is finished, which does away with what was
 * only kept (the saved state of the VM that was replaced) or only needed on the way (memory images). What cannot be removed now stays in
 * the journal, for kvss recover. */
static void drop_leftovers(struct restore *r)
{
    struct err why = ERR_INIT;

    if (journal_undo_all(r->s->journal, &why) < 0)
        log_warning(r->rq->config.log, "a file is left behind until the next kvss recover: %s", why.text);
    r->s->done = true;
}

/* What was not restored is as before, unless a device was overwritten: that cannot be taken back. */
static bool overwrites(const struct restore *r)
{
    for (size_t i = 0; i < r->n_vms; i++)
        for (size_t k = 0; k < r->vms[i].n_disks; k++)
            if (r->vms[i].disks[k].in_place && !r->vms[i].present)
                return true;
    return false;
}

static int say_what_is_left(int rc, bool overwritten, bool others, struct err *err)
{
    struct err why = *err;

    err_set(err, why.code,
            overwritten ? "%s. VMs that were not restored have their old definition and images and are off, and a block device may be "
                          "partly overwritten: restore them again"
            : others    ? "%s. Everything that was not restored is unchanged, except block devices that were not disks of a VM"
                        : "%s. Everything that was not restored is unchanged",
            why.text);
    err->hresult = why.hresult;
    return rc;
}

static int images_only(struct restore *r, struct err *err)
{
    int rc = plan(r, err);

    if (rc >= 0)
        rc = restore_check_places(r, err);
    if (rc >= 0)
        rc = restore_images_only(r, err);
    return rc < 0 ? err_context(err, "nothing was restored") : 0;
}

static int files_to(struct restore *r, struct err *err)
{
    int rc = restore_files_to(r, err);

    return rc < 0 ? err_context(err, "nothing was restored") : 0;
}

static void refresh_pool(struct restore *r)
{
    struct err why = ERR_INIT;

    if (r->job->pool && !r->job->dry_run && hv_pool_refresh(r->s->hv, r->job->pool, &why) < 0)
        log_warning(r->rq->config.log, "%s", why.text);
}

static int restore_restore_report(struct restore *r, json_t **ret, struct err *err)
{
    if (r->job->dry_run) {
        r->rq->end = json_array_size(r->refused) ? REQUESTER_REFUSED : r->rq->end;
        return restore_dry_report(r, ret, err);
    }
    *ret = restore_report(r);
    return *ret ? 0 : err_nomem(err);
}

int requester_restore(struct requester *rq, const struct requester_restore *job, json_t **ret, struct err *err)
{
    struct restore r = { .rq = rq, .job = job, .begun_ms = clock_mono_ms() };

    rq->end = REQUESTER_DONE;
    int rc = open_point(&r, err);
    if (rc >= 0)
        rc = job->images_only || job->files_to ? session_open_files(rq, &r.s, err) : restore_open_session(&r, err);
    if (rc >= 0)
        rc = job->files_to ? files_to(&r, err) : job->images_only ? images_only(&r, err) : restore_run(&r, err);
    if (rc >= 0) {
        drop_leftovers(&r);
        refresh_pool(&r);
        rc = restore_restore_report(&r, ret, err);
    }
    bool turned_off = r.turned_off, overwritten = overwrites(&r);
    struct err undoing = rc < 0 ? *err : (struct err)ERR_INIT;
    restore_release(&r, rc < 0 ? &undoing : NULL);
    bool undone = rc < 0 && !strcmp(undoing.text, err->text);
    if (rc < 0)
        *err = undoing;
    return turned_off && undone ? job_end(rq, say_what_is_left(rc, overwritten, r.devices_touched, err), err) : job_end(rq, rc, err);
}
