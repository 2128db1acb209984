/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The point in time of one VM: made ready, taken, released. */
#include "base/buf.h"
#include "base/io.h"
#include "providers/qemu_internal.h"
#include <errno.h>
#include <string.h>

static int copy_disk(struct qemu_disk *to, const struct kvss_point_disk *from, bool active)
{
    to->readonly = from->readonly || !active;
    to->target = strdup(from->target);
    to->path = from->path ? strdup(from->path) : NULL;
    to->format = strdup(from->format);
    return to->target && to->format && (to->path || !from->path) ? 0 : -ENOMEM;
}

int qemu_point_new(const struct kvss_point *from, struct hv *hv, struct qemu_point **ret, struct err *err)
{
    _cleanup_(qemu_point_free_p) struct qemu_point *pt = calloc(1, sizeof(*pt));
    if (!pt)
        return err_nomem(err);

    pt->active = from->active;
    pt->set_id = strdup(from->set_id);
    pt->vm_uuid = strdup(from->vm_uuid);
    pt->vm_name = strdup(from->vm_name);
    pt->checkpoint = from->checkpoint ? strdup(from->checkpoint) : NULL;
    pt->disks = calloc(from->n_disks ? from->n_disks : 1, sizeof(*pt->disks));
    pt->fx_scratch = calloc(from->n_disks ? from->n_disks : 1, sizeof(*pt->fx_scratch));
    if (!pt->set_id || !pt->vm_uuid || !pt->vm_name || !pt->disks || !pt->fx_scratch || (from->checkpoint && !pt->checkpoint))
        return err_nomem(err);
    for (size_t i = 0; i < from->n_disks; i++) {
        pt->n_disks = i + 1;
        if (copy_disk(&pt->disks[i], &from->disks[i], from->active) < 0)
            return err_nomem(err);
        if (from->since && qemu_since_ask(pt, &pt->disks[i], from->since, err) < 0)
            return -ENOMEM;
    }

    int r = hv_domain_glance(hv, from->vm_uuid, &pt->dom, err);
    if (r >= 0 && from->since) /* it is made from one of them, if it is there still */
        r = hv_domain_read_checkpoints(pt->dom, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(pt);
    return 0;
}

static void disk_clear(struct qemu_disk *d)
{
    struct err ignored = ERR_INIT; /* a reading export has nothing to lose */

    (void)hv_export_stop(d->export, &ignored);
    free(d->target);
    free(d->path);
    free(d->format);
    free(d->scratch);
    free(d->since);
    free(d->why_full);
}

void qemu_point_free(struct qemu_point *pt)
{
    if (!pt)
        return;
    for (size_t i = 0; i < pt->n_disks; i++)
        disk_clear(&pt->disks[i]);
    free(pt->disks);
    free(pt->fx_scratch);
    hv_backup_request_free(pt->request);
    if (pt->dom)
        hv_domain_free(pt->dom);
    free(pt->set_id);
    free(pt->vm_uuid);
    free(pt->vm_name);
    free(pt->checkpoint);
    free(pt->dir);
    free(pt->socket);
    free(pt);
}

/* ---- Making ready ---------------------------------------------------------------------------------------------------------*/

/* It has no path: what it is, the VM's definition tells. No lock is held on it. */
static int export_network(const struct qemu_provider *p, const struct qemu_point *pt, struct qemu_disk *d, struct err *err)
{
    for (size_t i = 0; i < pt->dom->n_disks; i++)
        if (!strcmp(pt->dom->disks[i].target, d->target))
            return hv_export_start_disk(pt->dom, p->config.session_dir, &pt->dom->disks[i], &d->export, err);
    return err_set(err, ENOENT, "the VM no longer has it");
}

static int export_disk(const struct qemu_provider *p, const struct qemu_point *pt, struct qemu_disk *d, struct err *err)
{
    if (!d->path) {
        int r = export_network(p, pt, d, err);
        return r < 0 ? err_context(err, "disk %s of VM %s", d->target, pt->vm_name) : 0;
    }
    int r = d->since ? qemu_since_export(d, p->config.session_dir, err) : 0;
    if (r >= 0 && !d->export)
        r = hv_export_start(p->config.session_dir, d->path, d->format, HV_EXPORT_READ, &d->export, err);
    return r < 0 ? err_context(err, "disk %s of VM %s", d->target, pt->vm_name) : 0;
}

static int mark_done(const struct qemu_provider *p, const struct qemu_point *pt, uint64_t id, struct err *err)
{
    int r = journal_done(p->config.journal, id);

    return r < 0 ? err_errno(err, -r, "VM %s: a step of taking the point in time failed", pt->vm_name) : 0;
}

/* Beside the image, where there is room for the image's own growth, or in the configured folder; else in the session's. */
static int scratch_path(const struct qemu_provider *p, const struct qemu_point *pt, const struct qemu_disk *d, char **ret, struct err *err)
{
    _cleanup_free_ char *dir = NULL;

    int r = hv_scratch_dir(p->config.hv, d->path, p->config.snapshot_dir, &dir, err);
    if (r < 0)
        return err_context(err, "VM %s, disk %s", pt->vm_name, d->target);
    *ret = str_format("%s/.kvss-%.8s-%.8s-%s.scratch", dir ? dir : pt->dir, pt->set_id, pt->vm_uuid, d->target);
    return *ret ? 0 : err_nomem(err);
}

/* Scratch files, entered as effects. */
static int name_scratch(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    for (size_t i = 0; i < pt->n_disks; i++) {
        struct qemu_disk *d = &pt->disks[i];
        if (d->readonly)
            continue;
        int r = scratch_path(p, pt, d, &d->scratch, err);
        if (r < 0)
            return r;
        r = qemu_effect(p, pt, VERB_SCRATCH, hv_is_local(p->config.hv) ? "path" : "remote", d->scratch, &pt->fx_scratch[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Makes the request anew, from what the disks ask for now. Quick where the scratch files are there already. */
static int make_request(struct qemu_point *pt, struct err *err)
{
    _cleanup_free_ struct hv_backup_disk *disks = calloc(pt->n_disks, sizeof(*disks));
    struct hv_backup job = { .socket = pt->socket, .disks = disks, .checkpoint = pt->checkpoint };

    if (!disks)
        return err_nomem(err);
    for (size_t i = 0; i < pt->n_disks; i++) {
        const struct qemu_disk *d = &pt->disks[i];
        if (d->readonly)
            continue;
        disks[job.n_disks++] = (struct hv_backup_disk){
            .target = d->target,
            .scratch = d->scratch,
            .made = d->made,
            .since = d->since,
            .checkpoint = pt->checkpoint && d->bitmap,
        };
    }
    hv_backup_request_free(TAKE_PTR(pt->request));
    int r = hv_backup_prepare(pt->dom, &job, &pt->request, err);
    for (size_t i = 0; i < pt->n_disks && r >= 0; i++)
        pt->disks[i].made = !pt->disks[i].readonly;
    return r;
}

/* Where the image cannot be looked at, the job will tell. */
static bool keeps_bitmaps(const struct qemu_disk *d)
{
    return !d->readonly && !strcmp(d->format, "qcow2") && !qemu_is_old_qcow2(d);
}

static int prepare_job(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    bool bitmaps = false;

    for (size_t i = 0; i < pt->n_disks; i++)
        bitmaps |= pt->disks[i].bitmap = keeps_bitmaps(&pt->disks[i]);
    if (!bitmaps) {
        free(pt->checkpoint);
        pt->checkpoint = NULL;
    }
    int r = name_scratch(p, pt, err);
    if (r >= 0)
        r = make_request(pt, err);
    for (size_t i = 0; i < pt->n_disks && r >= 0; i++)
        r = mark_done(p, pt, pt->fx_scratch[i], err);
    return r;
}

/* These effects, and the socket, come about at the instant; they are entered now, so that nothing is written while the guest is frozen. */
static int announce_job(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    if (pt->checkpoint) {
        int r = qemu_effect(p, pt, VERB_CHECKPOINT, "name", pt->checkpoint, &pt->fx_checkpoint, err);
        if (r < 0)
            return r;
    }
    return qemu_effect(p, pt, VERB_BACKUP_JOB, NULL, NULL, &pt->fx_job, err);
}

static int point_make_dir(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    int r = hv_session_dir_name("nbd", &pt->dir, err);
    if (r >= 0)
        r = qemu_effect(p, pt, VERB_SHADOW_DIR, "path", pt->dir, &pt->fx_dir, err);
    if (r >= 0)
        r = hv_shared_dir_make(p->config.hv, pt->dir, err);
    return r < 0 ? r : mark_done(p, pt, pt->fx_dir, err);
}

/* In libvirt's folder of the VM. Where there is none to be had, and nothing confines QEMU, the session's folder does as well. */
static int place_socket(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    _cleanup_free_ char *model = NULL, *label = NULL;
    struct err why = ERR_INIT;

    int r = hv_backup_socket(pt->dom, &pt->socket, &why);
    if (r < 0 && hv_is_local(p->config.hv) && hv_confinement(pt->dom, &model, &label, NULL) >= 0 && model) {
        err_move(err, &why);
        return err_context(err, "VM %s: %s gives its QEMU no place to create a socket", pt->vm_name, model);
    }
    if (r < 0)
        pt->socket = str_format("%s/nbd.sock", pt->dir);
    if (!pt->socket)
        return err_nomem(err);
    if ((r = qemu_close_folder(p, pt, err)) < 0)
        return r;
    return qemu_effect(p, pt, VERB_SOCKET, "path", pt->socket, &pt->fx_socket, err);
}

/* QEMU elsewhere has its scratch files elsewhere. */
static int guard_job(struct qemu_provider *p, const struct qemu_point *pt, struct err *err)
{
    if (!hv_is_local(p->config.hv))
        return 0;
    pthread_mutex_lock(&p->lock);
    int r = p->guard ? 0 : qemu_guard_new(&p->config, &p->guard, err);
    pthread_mutex_unlock(&p->lock);
    return r < 0 ? r : qemu_guard_add(p->guard, pt, err);
}

int qemu_point_prepare(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    bool job = false;

    int r = qemu_since_check(pt, err);
    for (size_t i = 0; i < pt->n_disks && r >= 0; i++) {
        job |= !pt->disks[i].readonly;
        if (pt->disks[i].readonly)
            r = export_disk(p, pt, &pt->disks[i], err);
    }
    if (r < 0 || !job)
        return r;
    if ((r = point_make_dir(p, pt, err)) < 0 || (r = place_socket(p, pt, err)) < 0 || (r = prepare_job(p, pt, err)) < 0)
        return r;
    r = announce_job(p, pt, err);
    hv_domain_ready(pt->dom);
    return r < 0 ? r : guard_job(p, pt, err);
}

/* A guest may be frozen meanwhile: a refusal costs milliseconds, and there is at most one per disk. */
static int begin_job(struct qemu_point *pt, struct err *err)
{
    struct err why = ERR_INIT;

    while (hv_backup_begin(pt->dom, &pt->request, &why) < 0) {
        if (why.code == ETIMEDOUT || why.code == EINTR) /* no answer is no refusal */
            return err_move(err, &why);
        int r = qemu_since_refused(pt, &why, err);
        if (r >= 0)
            r = make_request(pt, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int qemu_point_take(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    if (!pt->request)
        return 0;
    int r = begin_job(pt, err);
    if (r < 0)
        return err_context(err, "VM %s: cannot take a point in time of its disks", pt->vm_name);
    pt->begun = true;
    qemu_guard_begun(p->guard, pt);
    r = mark_done(p, pt, pt->fx_checkpoint, err);
    if (r >= 0)
        r = mark_done(p, pt, pt->fx_socket, err);
    return r < 0 ? r : mark_done(p, pt, pt->fx_job, err);
}

int qemu_point_release(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    int first = 0;
    struct err why = ERR_INIT;

    qemu_guard_gone(p->guard, pt);
    /* The job first: QEMU must have let go of scratch files and socket before they are removed. */
    if (journal_undo(p->config.journal, pt->fx_job, &why) < 0)
        first = err_move(err, &why);
    for (size_t i = 0; i < pt->n_disks; i++) {
        if (hv_export_stop(TAKE_PTR(pt->disks[i].export), &why) < 0 && !first)
            first = err_move(err, &why);
        if (journal_undo(p->config.journal, pt->fx_scratch[i], &why) < 0 && !first)
            first = err_move(err, &why);
    }
    if (journal_undo(p->config.journal, pt->fx_socket, &why) < 0 && !first)
        first = err_move(err, &why);
    if (journal_undo(p->config.journal, pt->fx_closed, &why) < 0 && !first)
        first = err_move(err, &why);
    if (journal_undo(p->config.journal, pt->fx_dir, &why) < 0 && !first)
        first = err_move(err, &why);
    pt->begun = false;
    return first;
}
