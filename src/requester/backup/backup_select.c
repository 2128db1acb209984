/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Discovery: which components take part, and which volumes their files lie on. */
#include "base/io.h"
#include "requester/backup/backup.h"
#include <errno.h>
#include <string.h>

static int add_component(struct backup *b, const struct vss_writer_info *w, const struct vss_component_info *c, struct err *err)
{
    struct backup_component *more = realloc(b->components, (b->n + 1) * sizeof(*more));
    if (!more)
        return err_nomem(err);
    b->components = more;
    int r = vss_add_component(b->s->vss, w->id, c->logical_path, c->name, err);
    if (r < 0)
        return r;
    struct backup_component *n = &more[b->n++];
    *n = (struct backup_component){ .info = c, .writer = w, .vm = !strcmp(w->id, VM_WRITER_ID) };
    n->writer_id = strdup(w->id);
    n->writer_name = strdup(w->name);
    n->logical_path = strdup(c->logical_path ? c->logical_path : "");
    n->name = strdup(c->name);
    return n->writer_id && n->writer_name && n->logical_path && n->name ? 0 : err_nomem(err);
}

/* A writer that failed Identify is missing. For the VM writer that is the end; of the others the user is told. */
static int check_left_out(struct backup *b, struct err *err)
{
    for (size_t i = 0; i < vss_left_out_count(b->s->vss); i++) {
        struct vss_left_out_writer w = vss_left_out_get(b->s->vss, i);
        if (!strcmp(w.id, VM_WRITER_ID))
            return err_set(err, EIO, "cannot list the VMs: %s", w.text ? w.text : "no reason given");
        if (b->job->writers && *b->job->writers) /* then it was asked for by name */
            return err_set(err, EIO, "writer %s failed to identify itself: %s", w.name, w.text ? w.text : "no reason given");
        log_warning(b->rq->config.log, "writer %s failed to identify itself and is skipped: %s", w.name,
                    w.text ? w.text : "no reason given");
    }
    return 0;
}

static int select_add_vm(struct backup *b, const char *uuid, struct err *err)
{
    const struct vss_writer_info *w = vss_writer_find(b->s->vss, VM_WRITER_ID);

    for (size_t i = 0; w && i < w->n_components; i++)
        if (!strcmp(w->components[i].name, uuid))
            return add_component(b, w, &w->components[i], err);
    return err_set(err, ENOENT, "VM %s no longer exists", uuid);
}

/* Behind another selectable component, a component comes in by itself. */
static bool select_has_selectable_ancestor(const struct vss_writer_info *w, size_t i)
{
    for (size_t k = 0; k < w->n_components; k++)
        if (k != i && w->components[k].selectable && vss_component_in_set(w, k, i))
            return true;
    return false;
}

bool backup_takes_component(const struct vss_writer_info *w, size_t component)
{
    return !select_has_selectable_ancestor(w, component);
}

/* Of the other writers everything takes part. */
static int add_all_of(struct backup *b, const struct vss_writer_info *w, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < w->n_components && r >= 0; i++)
        if (backup_takes_component(w, i))
            r = add_component(b, w, &w->components[i], err);
    return r;
}

int backup_select(struct backup *b, char *const *uuids, struct err *err)
{
    int r = check_left_out(b, err);

    for (size_t i = 0; r >= 0 && uuids[i]; i++)
        r = select_add_vm(b, uuids[i], err);
    for (size_t i = 0; r >= 0 && i < vss_writer_count(b->s->vss); i++) {
        const struct vss_writer_info *w = vss_writer_get(b->s->vss, i);
        if (strcmp(w->id, VM_WRITER_ID))
            r = add_all_of(b, w, err);
    }
    return r;
}

/* ---- Room -----------------------------------------------------------------------------------------------------------------*/

/* Looked at before anything is touched. */
static int check_vm_room(struct backup *b, const struct vm_report *report, const struct hv_domain *d, struct err *err)
{
    const struct requester_config *c = &b->rq->config;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < d->n_disks; i++) {
        _cleanup_free_ char *dir = NULL;
        if (!vm_needs_scratch(report, d, i))
            continue;
        r = hv_scratch_dir(b->s->hv, d->disks[i].path, c->snapshot_dir, &dir, err);
        if (r >= 0 && dir)
            r = provider_scratch_room(dir, c->scratch_reserve, err);
    }
    return r < 0 ? err_context(err, "VM %s", d->name) : 0;
}

int backup_check_room(struct backup *b, char *const *uuids, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && uuids[i] && hv_is_local(b->s->hv); i++) {
        const struct vm_report *report = NULL;
        struct hv_domain *d = NULL;
        r = vm_writer_check(b->s->vm_writer, uuids[i], &report, &d, err);
        if (r >= 0)
            r = check_vm_room(b, report, d, err);
    }
    if (r == -ENOSPC || r == -EPERM)
        b->rq->end = REQUESTER_REFUSED;
    return r;
}

/* ---- Volumes --------------------------------------------------------------------------------------------------------------*/

/* Each volume of other writers' files once. */
static int select_add_volume(struct backup *b, const char *path, char ***seen, struct err *err)
{
    _cleanup_free_ char *volume = NULL;

    int r = volume_of(NULL, path, &volume, err);
    if (r < 0 || strv_has(*seen, volume))
        return r;
    if (strv_add(seen, volume) < 0)
        return err_nomem(err);
    r = vss_add_to_snapshot_set(b->s->vss, volume, NULL, NULL, err);
    if (r >= 0) { /* where files are not read from the shadow copy, what is stored is what was copied while the writers were held */
        struct err why = ERR_INIT;
        r = vss_add_to_snapshot_set(b->s->vss, volume, providers_copying_files(), NULL, &why);
        r = r == -EEXIST || r >= 0 ? 0 : err_move(err, &why);
    }
    return r < 0 ? err_context(err, "volume %s", volume) : 0;
}

/* What a VM has there. disk: NULL, or the file set of one. */
static int select_add_vm_volume(struct backup *b, const char *uuid, const char *path, const struct vss_file_set *disk, struct err *err)
{
    _cleanup_free_ char *volume = NULL;

    int r = volume_of(NULL, path, &volume, err);
    if (r < 0)
        return r;
    const struct kvss_volume what = { volume, uuid, disk ? disk->vm_disk : NULL, disk ? path : NULL };
    r = vss_add_disk_to_snapshot_set(b->s->vss, &what, disk ? b->provider : NULL, NULL, err);
    return r < 0 ? r : 0;
}

/* An image that is a link lies elsewhere than its folder, which has to be in the set too. */
static int select_add_disk(struct backup *b, const char *uuid, const struct vss_file_set *set, struct err *err)
{
    _cleanup_free_ char *path = io_path(set->path, set->filespec);

    if (!path)
        return err_nomem(err);
    int r = set->vm_disk ? select_add_vm_volume(b, uuid, path, set, err) : 0;
    return r < 0 ? r : select_add_vm_volume(b, uuid, set->path, NULL, err);
}

/* Of a VM its disks come first: what else it has on their volumes is in the set by them. */
static int select_add_files(struct backup *b, const struct backup_component *c, const struct vss_component_info *info, char ***seen,
                            struct err *err)
{
    int r = 0;

    for (int disks = 1; disks >= 0; disks--)
        for (size_t f = 0; f < info->n_files && r >= 0; f++) {
            const struct vss_file_set *set = &info->files[f];
            if (c->vm && disks == !!set->vm_disk)
                r = select_add_disk(b, info->name, set, err);
            else if (!c->vm && disks)
                r = select_add_volume(b, set->alternate_path ? set->alternate_path : set->path, seen, err);
        }
    return r;
}

int backup_add_volumes(struct backup *b, struct err *err)
{
    _cleanup_strv_ char **seen = NULL;
    int r = session_provider(b->s, b->job->policy.provider, &b->provider, err);

    for (size_t i = 0; i < b->n && r >= 0; i++) {
        const struct vss_writer_info *w = b->components[i].writer;
        size_t self = (size_t)(b->components[i].info - w->components);
        for (size_t k = 0; k < w->n_components && r >= 0; k++)
            if (vss_component_in_set(w, self, k))
                r = select_add_files(b, &b->components[i], &w->components[k], &seen, err);
        if (r < 0 && b->components[i].vm)
            err_context(err, "VM %s", backup_vm_name(&b->components[i]));
        if (r == -EOPNOTSUPP)
            b->rq->end = REQUESTER_REFUSED; /* nothing was touched */
    }
    return r;
}
