/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Discovery: which components take part, and which volumes their files lie on. */
#include "base/io.h"
#include "requester/backup.h"
#include <errno.h>
#include <string.h>

static int add_component(struct backup *b, const struct vss_writer_info *w, const struct vss_component_info *c, struct err *err)
{
    struct backup_component *more = realloc(b->components, (b->n + 1) * sizeof(*more));
    if (!more)
        return err_set(err, ENOMEM, "out of memory");
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
    return n->writer_id && n->writer_name && n->logical_path && n->name ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* A writer that failed Identify is missing. For the VM writer that is the end; of the others the user is told. */
static int check_left_out(struct backup *b, struct err *err)
{
    for (size_t i = 0; i < vss_left_out_count(b->s->vss); i++) {
        struct vss_left_out_writer w = vss_left_out_get(b->s->vss, i);
        if (!strcmp(w.id, VM_WRITER_ID))
            return err_set(err, EIO, "the VM writer could not describe the VMs: %s", w.text ? w.text : "no cause was given");
        if (b->job->writers && *b->job->writers) /* then it was asked for by name */
            return err_set(err, EIO, "writer %s failed to describe itself: %s", w.name, w.text ? w.text : "no cause was given");
        log_warning(b->rq->config.log, "writer %s takes no part, it failed to describe itself: %s", w.name,
                    w.text ? w.text : "no cause was given");
    }
    return 0;
}

static int add_vm(struct backup *b, const char *uuid, struct err *err)
{
    const struct vss_writer_info *w = vss_writer_find(b->s->vss, VM_WRITER_ID);

    for (size_t i = 0; w && i < w->n_components; i++)
        if (!strcmp(w->components[i].name, uuid))
            return add_component(b, w, &w->components[i], err);
    return err_set(err, ENOENT, "VM %s is gone: it is not among the VM writer's components any more", uuid);
}

/* Behind another selectable component, a component comes in by itself. */
static bool has_selectable_ancestor(const struct vss_writer_info *w, size_t i)
{
    for (size_t k = 0; k < w->n_components; k++)
        if (k != i && w->components[k].selectable && vss_component_in_set(w, k, i))
            return true;
    return false;
}

bool backup_takes_component(const struct vss_writer_info *w, size_t component)
{
    return !has_selectable_ancestor(w, component);
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
        r = add_vm(b, uuids[i], err);
    for (size_t i = 0; r >= 0 && i < vss_writer_count(b->s->vss); i++) {
        const struct vss_writer_info *w = vss_writer_get(b->s->vss, i);
        if (strcmp(w->id, VM_WRITER_ID))
            r = add_all_of(b, w, err);
    }
    return r;
}

/* ---- Room -----------------------------------------------------------------------------------------------------------------*/

/* Looked at before anything is touched. Where a scratch file lies is the provider's business; it goes beside the image, or into the
 * folder that is set. */
static int check_vm_room(struct backup *b, struct hv_domain *d, struct err *err)
{
    const struct requester_config *c = &b->rq->config;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (disk->device != HV_DEVICE_DISK || disk->source != HV_SOURCE_FILE || disk->readonly || disk->shareable || disk->transient)
            continue;
        _cleanup_free_ char *dir = NULL;
        r = hv_scratch_dir(b->s->hv, disk->path, c->snapshot_dir, &dir, err);
        if (r >= 0)
            r = qemu_scratch_room(dir, c->scratch_reserve, err);
    }
    return r < 0 ? err_context(err, "VM %s", d->name) : 0;
}

int backup_check_room(struct backup *b, char *const *uuids, struct err *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && uuids[i] && hv_is_local(b->s->hv); i++) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
        r = hv_domain_get(b->s->hv, uuids[i], &d, err);
        if (r >= 0 && (d->state == HV_RUNNING || d->state == HV_PAUSED))
            r = check_vm_room(b, d, err);
    }
    if (r == -ENOSPC || r == -EPERM)
        b->rq->end = REQUESTER_REFUSED;
    return r;
}

/* ---- Volumes --------------------------------------------------------------------------------------------------------------*/

struct seen { /* volumes, by who shadows what is needed of them */
    char **vms, **files;
};

static void seen_clear(struct seen *s)
{
    strv_free(s->vms);
    strv_free(s->files);
}

/* Each provider is told of the volumes that it has to shadow something on, and claims no others. */
static int add_volume(struct backup *b, bool vm, const char *path, struct seen *seen, struct err *err)
{
    char ***list = vm ? &seen->vms : &seen->files;
    _cleanup_free_ char *volume = NULL;

    int r = volume_of(NULL, path, &volume, err);
    if (r < 0 || strv_has(*list, volume))
        return r;
    if (strv_add(list, volume) < 0)
        return err_set(err, ENOMEM, "out of memory");
    r = vm ? qemu_provider_shadow(b->s->provider, volume, err) : copy_provider_shadow(b->s->copies, volume, err);
    if (r >= 0)
        r = vss_add_to_snapshot_set(b->s->vss, volume, vm ? QEMU_PROVIDER_ID : COPY_PROVIDER_ID, NULL, err);
    return r < 0 ? err_context(err, "volume %s", volume) : 0;
}

int backup_add_volumes(struct backup *b, struct err *err)
{
    _cleanup_(seen_clear) struct seen seen = { 0 };

    for (size_t i = 0; i < b->n; i++) {
        const struct vss_writer_info *w = b->components[i].writer;
        size_t self = (size_t)(b->components[i].info - w->components);
        for (size_t k = 0; k < w->n_components; k++) {
            if (!vss_component_in_set(w, self, k))
                continue;
            for (size_t f = 0; f < w->components[k].n_files; f++) {
                const struct vss_file_set *set = &w->components[k].files[f];
                int r = add_volume(b, b->components[i].vm, set->alternate_path ? set->alternate_path : set->path, &seen, err);
                if (r < 0)
                    return r;
            }
        }
    }
    return 0;
}
