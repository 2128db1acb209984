/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls that the providers of volumes have in common, in their order. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/par.h"
#include "base/thread.h"
#include "providers/volume_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 16u

int volume_provider_new(const struct volume_kind *kind, const struct provider_context *context, void **ret, struct err *err)
{
    struct volume_provider *p = calloc(1, sizeof(*p));

    if (!p)
        return err_nomem(err);
    p->kind = kind;
    p->config = *context;
    pthread_mutex_init(&p->lock, NULL);
    thread_cond_init(&p->committed);
    *ret = p;
    return 0;
}

static void volume_copy_free(const struct volume_provider *p, struct volume_copy *c)
{
    if (p->kind->free_state)
        p->kind->free_state(c->state);
    free(c->set_id);
    free(c->snapshot_id);
    free(c->volume);
    free(c->path);
    free(c);
}

void volume_provider_free(void *priv)
{
    struct volume_provider *p = priv;

    for (struct volume_point *pt = p->points, *next; pt; pt = next) {
        next = pt->next;
        volume_point_free(pt);
    }
    for (struct volume_copy *c = p->copies, *next; c; c = next) {
        next = c->next;
        volume_copy_free(p, c);
    }
    pthread_cond_destroy(&p->committed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- Questions ----------------------------------------------------------------------------------------------------------------*/

int volume_is_supported(void *priv, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    const struct volume_provider *p = priv;

    *ret = false;
    if (geteuid() != 0 || !hv_is_local(p->config.hv) || volume->name[0] != '/' || (volume->vm_uuid && !volume->target))
        return 0;
    return p->kind->supports(p, volume, ret, err);
}

/* Copies share their blocks with what they are copies of. */
int volume_free_room(void *priv, const char *volume, struct kvss_room *ret, struct err *err)
{
    (void)priv;
    if (!volume)
        return err_set(err, EOPNOTSUPP, "shadow copies are on the volume that they are copies of");
    return provider_room_of(volume, ret, err);
}

/* ---- The set --------------------------------------------------------------------------------------------------------------------*/

int volume_begin_prepare(void *priv, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context, struct err *err)
{
    struct volume_provider *p = priv;
    struct volume_copy *c;

    if (context & VSS_VOLSNAP_ATTR_PERSISTENT)
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EOPNOTSUPP,
                       "provider %s: shadow copies of %s cannot be persistent: they are removed with the session", p->kind->name, volume);
    if (!p->config.journal)
        return err_set(err, EINVAL, "provider %s: no journal given: cannot create a shadow copy", p->kind->name);
    if (!(c = calloc(1, sizeof(*c))))
        return err_nomem(err);
    c->set_id = strdup(set_id);
    c->snapshot_id = strdup(snapshot_id);
    c->volume = strdup(volume);
    if (!c->set_id || !c->snapshot_id || !c->volume) {
        volume_copy_free(p, c);
        return err_nomem(err);
    }
    int r = p->kind->prepare_volume ? p->kind->prepare_volume(p, c, err) : 0;
    if (r < 0) {
        volume_copy_free(p, c);
        return r;
    }
    SCOPED_LOCK(&p->lock);
    c->next = p->copies;
    p->copies = c;
    return 0;
}

static struct volume_point *volume_find_point(struct volume_provider *p, const char *set_id, const char *vm_uuid)
{
    SCOPED_LOCK(&p->lock);
    for (struct volume_point *pt = p->points; pt; pt = pt->next)
        if (!strcmp(pt->set_id, set_id) && !strcmp(pt->vm_uuid, vm_uuid))
            return pt;
    return NULL;
}

int volume_prepare_point(void *priv, const struct kvss_point *point, struct err *err)
{
    struct volume_provider *p = priv;
    struct volume_point *pt = NULL;

    if (volume_find_point(p, point->set_id, point->vm_uuid))
        return err_set(err, EEXIST, "VM %s is already in this snapshot set", point->vm_name);
    int r = volume_point_new(p, point, &pt, err);
    if (r < 0)
        return r;
    /* In the list before anything is done, so that abort finds it half-made too. */
    pthread_mutex_lock(&p->lock);
    pt->next = p->points;
    p->points = pt;
    pthread_mutex_unlock(&p->lock);
    return volume_point_prepare(p, pt, err);
}

int volume_take_point(void *priv, const struct kvss_point *point, struct err *err)
{
    struct volume_point *pt = volume_find_point(priv, point->set_id, point->vm_uuid);

    if (!pt)
        return err_set(err, EINVAL, "VM %s: the point in time was not prepared", point->vm_name);
    return volume_point_take(priv, pt, err);
}

int volume_end_prepare(void *priv, const char *set_id, struct err *err)
{
    struct volume_provider *p = priv;
    int r = 0;

    for (struct volume_copy *c = p->copies; c && r >= 0 && p->kind->look_again; c = c->next)
        r = strcmp(c->set_id, set_id) ? 0 : p->kind->look_again(p, c, err);
    return r < 0 ? r : 0;
}

/* What is dirty is written now: else the commit has to do so, and writers are held. */
int volume_pre_commit(void *priv, const char *set_id, struct err *err)
{
    struct volume_provider *p = priv;

    (void)err;
    for (struct volume_copy *c = p->copies; c && p->kind->copy_volume; c = c->next) {
        _cleanup_close_ int fd = strcmp(c->set_id, set_id) ? -1 : io_open_file(c->volume, O_RDONLY, NULL);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0)
            (void)(S_ISBLK(st.st_mode) ? fsync(fd) : syncfs(fd));
    }
    return 0;
}

/* The service does not wait for a commit beyond its limit; abort does. */
static void set_committing(struct volume_provider *p, bool on)
{
    SCOPED_LOCK(&p->lock);
    p->committing = on;
    pthread_cond_broadcast(&p->committed);
}

int volume_commit(void *priv, const char *set_id, struct err *err)
{
    struct volume_provider *p = priv;
    int r = 0;

    set_committing(p, true);
    for (struct volume_copy *c = p->copies; c && r >= 0; c = c->next) {
        if (strcmp(c->set_id, set_id))
            continue;
        if (p->kind->copy_volume)
            r = p->kind->copy_volume(p, c, err);
        c->made = r >= 0;
    }
    set_committing(p, false);
    return r < 0 ? r : 0;
}

/* The points of a set, for par_each(). */
struct volume_ends {
    struct volume_provider *p;
    struct volume_point **list;
};

static int end_one(void *ctx, size_t i, struct err *err)
{
    const struct volume_ends *e = ctx;

    return volume_point_end(e->p, e->list[i], err);
}

/* Writers may go on meanwhile; but until this is done the guests write into overlays. */
int volume_pre_final_commit(void *priv, const char *set_id, struct err *err)
{
    struct volume_provider *p = priv;
    size_t n = 0;

    for (const struct volume_point *pt = p->points; pt; pt = pt->next)
        n++;
    _cleanup_free_ struct volume_point **list = calloc(n + 1, sizeof(struct volume_point *));
    struct volume_ends ends = { p, list };
    if (!list)
        return err_nomem(err);
    n = 0;
    for (struct volume_point *pt = p->points; pt; pt = pt->next)
        if (!strcmp(pt->set_id, set_id))
            list[n++] = pt;
    int r = par_each(n, THREADS, end_one, &ends, err);
    for (struct volume_copy *c = p->copies; c && r >= 0 && p->kind->open_volume; c = c->next)
        if (!strcmp(c->set_id, set_id))
            r = p->kind->open_volume(p, c, err);
    return r < 0 ? r : 0;
}

/* An overlay of the set that was there when the snapshot was made. */
static int drop_overlay(const struct volume_copy *c, const struct volume_disk *d, struct err *err)
{
    _cleanup_free_ char *real = NULL, *in_copy = NULL, *name = NULL;
    _cleanup_close_ int dir = -1;

    int r = io_real_path(d->overlay, &real, err);
    if (r < 0 || !io_is_below(real, c->volume))
        return r < 0 ? r : 0;
    in_copy = str_format("%s%s", c->path, io_beyond(real, c->volume));
    if (!in_copy)
        return err_nomem(err);
    r = io_open_parent(in_copy, &dir, &name, err);
    if (r < 0)
        return r;
    return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? err_errno(err, errno, "cannot remove %s", in_copy) : 0;
}

int volume_drop_overlays(struct volume_provider *p, const struct volume_copy *c, struct err *err)
{
    int r = 0;

    for (struct volume_point *pt = p->points; pt; pt = pt->next)
        for (size_t i = 0; i < pt->n_disks && r >= 0; i++)
            if (!strcmp(pt->set_id, c->set_id) && pt->disks[i].overlay)
                r = drop_overlay(c, &pt->disks[i], err);
    return r < 0 ? r : 0;
}

int volume_post_final_commit(void *priv, const char *set_id, struct err *err)
{
    struct volume_provider *p = priv;
    int r = 0;

    for (struct volume_copy *c = p->copies; c && r >= 0 && p->kind->seal_volume; c = c->next)
        if (!strcmp(c->set_id, set_id))
            r = p->kind->seal_volume(p, c, err);
    return r < 0 ? r : 0;
}

int volume_check_snapshots(void *priv, const char *set_id, char **ret_vm_uuid, struct err *err)
{
    struct volume_provider *p = priv;
    int r = 0;

    if (ret_vm_uuid)
        *ret_vm_uuid = NULL;
    for (struct volume_copy *c = p->copies; c && r >= 0 && p->kind->check_volume; c = c->next)
        r = strcmp(c->set_id, set_id) || !c->made ? 0 : p->kind->check_volume(p, c, err);
    return r < 0 ? r : 0;
}

int volume_snapshot_device(void *priv, const char *set_id, const char *snapshot_id, char **ret_device, struct err *err)
{
    const struct volume_provider *p = priv;

    *ret_device = NULL;
    for (const struct volume_copy *c = p->copies; c; c = c->next)
        if (!strcmp(c->set_id, set_id) && !strcmp(c->snapshot_id, snapshot_id) && c->path && !(*ret_device = strdup(c->path)))
            return err_nomem(err);
    return 0;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------------*/

/* Where the image is in the copy of its volume. */
static int find_copy(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err)
{
    _cleanup_free_ char *real = NULL;
    struct volume_copy *c = NULL;

    if (d->copy)
        return 0;
    int r = volume_copy_of(p, pt, d, &c, &real, err);
    if (r >= 0 && !c->path)
        r = err_set(err, EINVAL, "no point in time was taken");
    if (r < 0)
        return r;
    d->copy = str_format("%s%s", c->path, strcmp(d->path, c->volume) ? io_beyond(real, c->volume) : "");
    return d->copy ? 0 : err_nomem(err);
}

static int tell_source(struct volume_disk *d, struct kvss_disk_source *ret, struct err *err)
{
    struct kvss_disk_source s = { .apart = d->export };

    if (d->export) {
        s.nbd_uri = strdup(hv_export_uri(d->export));
        s.dirty_context = strdup(hv_export_dirty_context(d->export));
    } else {
        s.path = strdup(d->copy);
        s.format = strdup(d->format);
        s.why_full = d->why_full ? strdup(d->why_full) : NULL;
    }
    if (d->export ? !s.nbd_uri || !s.dirty_context : !s.path || !s.format || (d->why_full && !s.why_full)) {
        kvss_disk_source_free(&s);
        return err_nomem(err);
    }
    s.changed = TAKE_PTR(d->changed);
    s.n_changed = d->n_changed;
    s.changes_known = d->changes_known;
    d->changes_known = false; /* whoever opens it once more has it compared once more */
    *ret = s;
    return 0;
}

int volume_open_disk(void *priv, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err)
{
    struct volume_point *pt = volume_find_point(priv, set_id, vm_uuid);
    struct volume_disk *d = NULL;

    for (size_t i = 0; pt && i < pt->n_disks; i++)
        if (!strcmp(pt->disks[i].target, target))
            d = &pt->disks[i];
    if (!d)
        return err_set(err, ENOENT, "disk %s of VM %s is not in the snapshot set", target, pt ? pt->vm_name : vm_uuid);
    int r = find_copy(priv, pt, d, err);
    if (r >= 0 && d->since && !d->export && !d->why_full)
        r = image_export_since(((struct volume_provider *)priv)->config.session_dir, d->copy, d->since, &d->export, &d->why_full, err);
    if (r >= 0 && d->kept_since && !d->changes_known && !d->why_full)
        r = volume_kept_ask(priv, pt, d, err);
    return r < 0 ? err_context(err, "disk %s of VM %s", target, pt->vm_name) : tell_source(d, ret, err);
}

/* ---- The end --------------------------------------------------------------------------------------------------------------------*/

static int release_points(struct volume_provider *p, const char *set_id, bool drop_checkpoints, struct err *err)
{
    int first = 0;

    for (struct volume_point **at = &p->points; *at;) {
        struct volume_point *pt = *at;
        struct err why = ERR_INIT;
        if (strcmp(pt->set_id, set_id)) {
            at = &pt->next;
            continue;
        }
        *at = pt->next;
        if (volume_point_undo(p, pt, drop_checkpoints, &why) < 0 && !first)
            first = err_move(err, &why);
        volume_point_free(pt);
    }
    return first;
}

static int release_copies(struct volume_provider *p, const char *set_id, struct err *err)
{
    int first = 0;

    for (struct volume_copy **at = &p->copies; *at;) {
        struct volume_copy *c = *at;
        struct err why = ERR_INIT;
        if (strcmp(c->set_id, set_id)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        if ((journal_undo(p->config.journal, c->fx_open, &why) < 0 || journal_undo(p->config.journal, c->fx, &why) < 0) && !first)
            first = err_move(err, &why);
        volume_copy_free(p, c);
    }
    return first;
}

/* Nobody reads in the copies any more. */
static void stop_exports(struct volume_provider *p, const char *set_id)
{
    for (struct volume_point *pt = p->points; pt; pt = pt->next)
        for (size_t i = 0; i < pt->n_disks && !strcmp(pt->set_id, set_id); i++)
            (void)hv_export_stop(TAKE_PTR(pt->disks[i].export), NULL);
}

static int volume_release(struct volume_provider *p, const char *set_id, bool drop_checkpoints, struct err *err)
{
    struct err why = ERR_INIT;

    pthread_mutex_lock(&p->lock);
    while (p->committing)
        pthread_cond_wait(&p->committed, &p->lock);
    pthread_mutex_unlock(&p->lock);
    stop_exports(p, set_id);
    int r = release_copies(p, set_id, err), r2 = release_points(p, set_id, drop_checkpoints, &why);
    return r < 0 || r2 >= 0 ? r : err_move(err, &why);
}

/* The checkpoint's effect stays open: the requester settles it once the restore point is committed. */
int volume_delete_snapshots(void *priv, const char *set_id, struct err *err)
{
    volume_kept_make(priv, set_id);
    return volume_release(priv, set_id, false, err);
}

int volume_abort_snapshots(void *priv, const char *set_id, struct err *err)
{
    return volume_release(priv, set_id, true, err);
}
