/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that can be known to fail is found before PreRestore turns a VM off: places, room, names, disks in use by others. */
#include "base/guid.h"
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "cluster/cluster.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ROOM_MARGIN (16 * MIB) /* an image's own tables, and what else lives there */

/* ---- Places and room ------------------------------------------------------------------------------------------------------*/

/* Room wanted on one file system. */
struct room {
    dev_t dev;
    char *dir;
    uint64_t wanted, replaced;
};
struct rooms {
    size_t n;
    struct room *rooms;
};

static void rooms_clear(struct rooms *rs)
{
    for (size_t i = 0; i < rs->n; i++)
        free(rs->rooms[i].dir);
    free(rs->rooms);
}

/* The nearest folder that exists at or above dir, and its path. Caller closes and frees. */
static int nearest_folder(const char *dir, int *ret_fd, char **ret, struct err *err)
{
    _cleanup_free_ char *at = strdup(dir);
    int fd = -1, r = -ENOENT;

    while (at) {
        struct err why = ERR_INIT;
        r = io_open_folder(at, &fd, &why);
        if (r == -ENOTDIR)
            return err_set(err, ENOTDIR, "%s is not a folder", at);
        if (r < 0 && (r != -ENOENT || !strcmp(at, "/")))
            return err_move(err, &why);
        if (r >= 0)
            break;
        char *up = io_dirname(at);
        free(at);
        at = up;
    }
    if (!at)
        return err_nomem(err);
    *ret_fd = fd;
    *ret = TAKE_PTR(at);
    return 0;
}

static struct room *room_of(struct rooms *rs, const char *dir, dev_t dev)
{
    for (size_t i = 0; i < rs->n; i++)
        if (rs->rooms[i].dev == dev)
            return &rs->rooms[i];
    struct room *more = realloc(rs->rooms, (rs->n + 1) * sizeof(*more));
    if (!more)
        return NULL;
    rs->rooms = more;
    more[rs->n] = (struct room){ .dev = dev, .dir = strdup(dir) };
    return more[rs->n].dir ? &more[rs->n++] : NULL;
}

/* Whatever is there is replaced, but nothing that is no file; where links are not followed they are replaced as well. */
static int add_replaced(struct room *room, int dir, const char *place, bool follow, struct err *err)
{
    _cleanup_free_ char *name = io_basename(place);
    struct stat old;

    if (!name)
        return err_nomem(err);
    if (fstatat(dir, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (!S_ISREG(old.st_mode) && (follow || !S_ISLNK(old.st_mode)))
        return err_set(err, EEXIST, "it exists but is not a regular file");
    room->replaced += (uint64_t)old.st_blocks * 512;
    return 0;
}

/* Where it will be made; a link that leads nowhere stands for itself. Caller frees. */
static int check_place_of(const char *path, bool follow, char **ret, struct err *err)
{
    struct err why = ERR_INIT;
    int r = follow ? io_real_path(path, ret, &why) : -ENOENT;

    if (r < 0 && r != -ENOENT && r != -ELOOP && r != -ENOTDIR)
        return err_move(err, &why);
    if (r < 0)
        *ret = strdup(path);
    return *ret ? 0 : err_nomem(err);
}

static int want_at(struct rooms *rs, const char *place, uint64_t bytes, bool follow, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(place), *there = NULL;
    _cleanup_close_ int fd = -1;
    struct stat st;

    int r = dir ? nearest_folder(dir, &fd, &there, err) : err_nomem(err);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0 || faccessat(fd, ".", W_OK | X_OK, 0) < 0)
        return err_errno(err, errno, "folder %s is not writable", there);
    struct room *room = room_of(rs, there, st.st_dev);
    if (!room)
        return err_nomem(err);
    room->wanted += bytes;
    return strcmp(dir, there) ? 0 : add_replaced(room, fd, place, follow, err);
}

/* A file of `bytes` will be made beside path: the folder must be there or makeable, and writable by us. follow: a link that is there is
 * meant for what it leads to. */
static int want(struct rooms *rs, const char *path, uint64_t bytes, bool follow, struct err *err)
{
    _cleanup_free_ char *place = NULL;

    int r = check_place_of(path, follow, &place, err);
    if (r >= 0)
        r = want_at(rs, place, bytes, follow, err);
    return r < 0 ? err_context(err, "cannot restore %s", path) : 0;
}

static int restore_check_room(const struct room *room, struct err *err)
{
    uint64_t free_bytes;
    char wanted[16], have[16], old[16];

    int rc = io_free_bytes(room->dir, &free_bytes, err);
    if (rc < 0 || free_bytes >= room->wanted + ROOM_MARGIN)
        return rc;
    num_format_size(room->wanted + ROOM_MARGIN, wanted);
    num_format_size(free_bytes, have);
    num_format_size(room->replaced, old);
    return err_set(err, ENOSPC,
                   "not enough space on the file system of %s: %s needed, %s free. The old images (%s) are kept until the new ones are "
                   "complete, so their space does not count: free space, or remove them first",
                   room->dir, wanted, have, old);
}

static int check_block_device(const struct restore_disk *d, struct err *err)
{
    _cleanup_close_ int fd = io_open_file(d->path, O_WRONLY | O_EXCL, err); /* O_EXCL: not mounted, not part of something */

    if (fd < 0)
        return err_context(err, "cannot restore to block device %s", d->path);
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0 || (uint64_t)size < d->size)
        return err_set(err, ENOSPC, "block device %s has %lld bytes, the image has %llu", d->path, (long long)size,
                       (unsigned long long)d->size);
    return 0;
}

/* NVRAM; memory, which is staged where libvirt keeps saved states, or goes to the folder where there is no libvirt. */
static int want_parts(const struct restore *r, const struct restore_vm *vm, struct rooms *rooms, struct err *err)
{
    const char *save_dir = r->s->hv ? hv_save_dir(r->s->hv) : r->to_dir;
    bool here = save_dir && (!r->s->hv || access(save_dir, W_OK | X_OK) == 0); /* else it goes to the run-time folder */
    _cleanup_free_ char *memory = vm->with_memory && here ? io_path(save_dir, "memory") : NULL;
    int rc = vm->nvram_path ? want(rooms, vm->nvram_path, vm->nvram ? vm->nvram->size : 0, true, err) : 0;

    const struct vm_record_part *part = restore_find_part(vm, VM_PART_MEMORY);
    if (rc >= 0 && memory)
        rc = want(rooms, memory, part ? part->size : 0, true, err);
    return rc < 0 ? err_context(err, "VM %s", vm->name) : 0;
}

/* What the new image takes: an image that was preallocated is so again. */
static uint64_t restore_check_allocated(const struct restore_disk *d)
{
    const char *how = d->record->image.preallocation;

    return how && (!strcmp(how, "falloc") || !strcmp(how, "full")) ? d->size : d->data;
}

/* libvirt gives images to QEMU's user, but not the folders above them: the VM would not start there. */
static int check_reach(const struct restore *r, const struct restore_disk *d, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(d->real ? d->real : d->path), *there = NULL, *closed = NULL;
    _cleanup_close_ int fd = -1;

    int rc = dir ? nearest_folder(dir, &fd, &there, err) : err_nomem(err);
    if (rc < 0)
        return rc;
    if (!r->s->hv || r->job->images_only || hv_qemu_may_enter(r->s->hv, there, &closed, NULL) != 0)
        return 0; /* where it is not known the start will tell */
    return err_set(
        err, EACCES,
        "QEMU's user cannot access %s: allow it to pass through %s (chmod o+x, or setfacl -m u:USER:x), or restore to another place", there,
        closed);
}

static int check_disk_place(const struct restore *r, const struct restore_disk *d, struct rooms *rooms, struct err *err)
{
    if (d->new_volume)
        return 0; /* check_volumes() */
    if (d->block_device)
        return check_block_device(d, err);
    int rc = want(rooms, d->path, restore_check_allocated(d), true, err);
    return rc < 0 ? rc : check_reach(r, d, err);
}

/* Volumes of a pool have their full size from the first. */
static int check_volumes(const struct restore *r, struct err *err)
{
    uint64_t wanted = 0, have;
    char wants[16], has[16];

    for (size_t i = 0; i < r->n_vms; i++)
        for (size_t k = 0; k < r->vms[i].n_disks; k++)
            wanted += r->vms[i].disks[k].new_volume ? r->vms[i].disks[k].size : 0;
    int rc = wanted ? hv_pool_free(r->s->hv, r->job->pool, &have, err) : 0;
    if (rc < 0 || !wanted || wanted <= have)
        return rc;
    num_format_size(wanted, wants);
    num_format_size(have, has);
    return err_set(err, ENOSPC, "not enough space in storage pool %s: %s needed, %s free", r->job->pool, wants, has);
}

/* Its folders can be reached, or made. */
static int want_folder(const char *path, struct err *err)
{
    _cleanup_free_ char *there = NULL;
    _cleanup_close_ int fd = -1;

    int rc = nearest_folder(path, &fd, &there, err);
    return rc < 0 ? err_context(err, "cannot restore %s", path) : 0;
}

static int want_files(const struct restore_files *f, struct rooms *rooms, struct err *err)
{
    size_t k;
    json_t *e;
    int rc = 0;

    json_array_foreach (json_object_get(f->index, "files"), k, e) {
        const char *path = json_get_text(e, "path");
        if (rc >= 0 && !strcmp(json_get_text(e, "type"), "folder"))
            rc = want_folder(path, err);
        else if (rc >= 0)
            rc = want(rooms, path, json_get_u64(e, "size"), false, err);
    }
    return rc < 0 ? err_context(err, "component %s", f->component) : 0;
}

static int check_places(const struct restore *r, struct err *err)
{
    _cleanup_(rooms_clear) struct rooms rooms = { 0 };
    int rc = check_volumes(r, err);

    for (size_t i = 0; i < r->n_vms && rc >= 0; i++)
        rc = want_parts(r, &r->vms[i], &rooms, err);

    for (size_t i = 0; i < r->n_vms; i++)
        for (size_t k = 0; k < r->vms[i].n_disks && rc >= 0; k++) {
            const struct restore_disk *d = &r->vms[i].disks[k];
            rc = check_disk_place(r, d, &rooms, err);
            if (rc < 0)
                err_context(err, "VM %s, disk %s", r->vms[i].name, d->target);
        }
    for (size_t i = 0; i < r->n_files && rc >= 0; i++)
        rc = want_files(&r->files[i], &rooms, err);
    for (size_t i = 0; i < rooms.n && rc >= 0; i++)
        rc = restore_check_room(&rooms.rooms[i], err);
    return rc;
}

/* ---- Names, and disks of others -------------------------------------------------------------------------------------------*/

/* The original of a copy stays: it is one of the others. */
static bool being_replaced(const struct restore *r, const char *uuid)
{
    for (size_t i = 0; i < r->n_vms; i++)
        if (!r->vms[i].as_uuid && guid_equal(r->vms[i].uuid, uuid))
            return true;
    return false;
}

bool restore_disk_uses(const struct hv_disk *d, const char *path)
{
    if (d->path && restore_same_file(d->path, path))
        return true;
    for (char **b = d->backing; b && *b; b++)
        if (restore_same_file(*b, path))
            return true;
    return false;
}

/* What another VM has is not replaced under it. */
static int check_other(const struct restore *r, const struct hv_domain *other, struct err *err)
{
    for (size_t i = 0; i < r->n_vms; i++) {
        const struct restore_vm *vm = &r->vms[i];
        if (!vm->part && !strcmp(restore_name(r, vm), other->name))
            return err_set(err, EEXIST,
                           "VM %s: another VM on this host has that name (UUID %s; the VM to be restored has %s): rename it first with "
                           "virsh domrename%s",
                           other->name, other->uuid, vm->as_uuid ? vm->as_uuid : vm->uuid,
                           vm->as_uuid ? ", or choose another name for the copy" : ", or restore a copy with --name");
        if (vm->nvram_path && other->nvram && restore_same_file(vm->nvram_path, other->nvram))
            return err_set(err, EBUSY, "VM %s, NVRAM: %s belongs to VM %s, which is not being restored", vm->name, vm->nvram_path,
                           other->name);
        for (size_t k = 0; k < vm->n_disks; k++)
            for (size_t m = 0; m < other->n_disks; m++)
                if (restore_disk_uses(&other->disks[m], vm->disks[k].path))
                    return err_set(err, EBUSY, "VM %s, disk %s: %s also belongs to VM %s (disk %s), which is not being restored", vm->name,
                                   vm->disks[k].target, vm->disks[k].path, other->name, other->disks[m].target);
    }
    return 0;
}

static int check_others(const struct restore *r, struct err *err)
{
    struct hv_domain **list = NULL;
    size_t n = 0;

    int rc = hv_list(r->s->hv, &list, &n, err);
    for (size_t i = 0; i < n && rc >= 0; i++)
        if (!being_replaced(r, list[i]->uuid))
            rc = check_other(r, list[i], err);
    hv_list_free(list, n);
    return rc;
}

/* Firmware, kernels, secrets and the like are not in the restore point. */
static int check_needs(const struct restore *r, const struct restore_vm *vm, struct err *err)
{
    _cleanup_strv_ char **missing = strv_copy(vm->copy_lacks);

    if (vm->part || r->job->images_only)
        return 0;
    int rc = hv_def_check_machine(r->s->hv, vm->def, r->job->trust_definition, err);
    if (rc < 0)
        return err_context(err, "VM %s; --images-only can still restore its images", vm->name);
    if (!strcmp(vm->state, "off"))
        return 0;
    rc = vm->as_uuid ? 0 : hv_def_missing(r->s->hv, restore_definition(vm), &missing, err);
    if (rc < 0 || !missing)
        return rc;
    _cleanup_free_ char *list = strv_join(missing, ", ");
    return err_set(err, ENOENT,
                   "VM %s could not be started because this host lacks: %s. Provide it, or restore with --no-start --discard-memory",
                   vm->name, list ? list : missing[0]);
}

static const char *cluster_cannot(const struct restore_vm *vm, const struct cluster_vm *c)
{
    if (c->copies)
        return "the resource is in a clone or bundle";
    if (vm->part)
        return "single disks of such a VM cannot be restored yet";
    if (c->failed || c->blocked || c->orphaned)
        return "the resource has failed: find out why, then run crm_resource --cleanup";
    if (c->uncertain)
        return "a node of the cluster is neither up nor fenced, or the cluster has no quorum";
    if (!c->managed)
        return "the cluster does not manage the VM now (maintenance, or is-managed=false)";
    if (!c->domain)
        return "its definition, the file that the resource names, cannot be read on this node";
    return c->n_active > 1 ? "the cluster sees it running on more than one node" : NULL;
}

/* It is replaced through its cluster. A copy, and images alone, are none of the cluster's business. */
static int check_cluster(const struct restore *r, const struct restore_vm *vm, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    struct err why = ERR_INIT;

    if (vm->as_uuid || r->job->images_only)
        return 0;
    int rc = cluster_ask(vm->name, vm->uuid, &c, &why);
    if (rc == 0)
        return 0;
    r->rq->end = REQUESTER_REFUSED;
    const struct cluster_lease stop = { c.resource, "kvss-stop", CLUSTER_STOP, 0 };
    const char *no = rc > 0 ? cluster_cannot(vm, &c) : NULL;
    if (no)
        rc = err_set(&why, EPERM, "%s", no);
    else if (rc > 0 && c.n_active && strcmp(c.node, c.here) != 0)
        rc = err_set(&why, EPERM, "it runs on node %s: run kvss restore there", c.node);
    else if (rc > 0)
        rc = cluster_lease_foresee(&stop, &why);
    if (rc >= 0)
        r->rq->end = REQUESTER_DONE;
    return rc >= 0
               ? 0
               : err_set(err, why.code,
                         "VM %s is managed by Pacemaker (resource %s): %s. A copy can be restored with --name, and its images alone with "
                         "--images-only",
                         vm->name, c.resource ? c.resource : "unknown", why.text);
}

int restore_check(struct restore *r, struct err *err)
{
    if (r->n_vms && r->s->hv && !hv_is_local(r->s->hv))
        return err_set(err, EOPNOTSUPP, "the VMs at %s run on another host: run kvss restore there", hv_uri(r->s->hv));
    int rc = r->s->hv ? check_others(r, err) : 0; /* first: what it refuses, no option allows */
    if (rc >= 0)
        rc = restore_check_clashes(r, err);
    for (size_t i = 0; i < r->n_vms && rc >= 0 && r->s->hv; i++)
        if ((rc = check_cluster(r, &r->vms[i], err)) >= 0 && (rc = restore_check_shared(&r->vms[i], r, err)) >= 0)
            rc = check_needs(r, &r->vms[i], err);
    for (size_t i = 0; i < r->n_vms && rc >= 0 && r->s->hv; i++)
        rc = restore_check_old(r, &r->vms[i], err);
    return rc < 0 ? rc : 0;
}

int restore_check_places(struct restore *r, struct err *err)
{
    int rc = check_places(r, err);

    if (rc == -EPERM)
        r->rq->end = REQUESTER_REFUSED;
    if (rc < 0 && json_array_size(r->refused))
        return restore_check_refused(r, err); /* a dry run that cannot be made: this would have ended the restore */
    return rc;
}
