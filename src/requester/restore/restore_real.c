/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where images are to go that are reached by symbolic links. Administrators' links are followed, and the real place is told; those of
 * others would make root write to wherever they lead. */
#include "base/io.h"
#include "base/io_at.h"
#include "requester/session/session.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Root's, the user's own, QEMU's (libvirt gives it images), or whose it was at the backup. */
static bool is_expected(const struct restore *r, const struct owner *recorded, uid_t uid)
{
    uid_t qemu = geteuid();
    gid_t group;

    if (r->s->hv)
        hv_qemu_ids(r->s->hv, &qemu, &group);
    return uid == 0 || uid == geteuid() || uid == qemu || (recorded->known && recorded->uid == uid);
}

static bool is_link(const char *path)
{
    _cleanup_close_ int fd = io_open_entry(path, O_PATH, NULL);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

static int check_target(const struct restore *r, const struct restore_disk *d, const struct io_place *p, const char *real, struct err *err)
{
    struct stat st;

    if (!is_link(d->path) || fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_expected(r, &d->record->owner, st.st_uid))
        return 0;
    return err_set(err, EPERM,
                   "%s is a symbolic link to %s, which belongs to user %u: remove the link, or give the actual path with --disk %s=PATH",
                   d->path, real, (unsigned)st.st_uid, d->target);
}

/* One that leads nowhere stands for itself. */
static int find_real(const struct restore *r, struct restore_disk *d, struct err *err)
{
    _cleanup_(io_place_close) struct io_place p = { .dir = -1 };
    struct err why = ERR_INIT;

    int rc = io_open_place(d->path, &p, &why);
    if (rc == -EPERM)
        return err_move(err, &why);
    if (rc < 0 || !p.links || d->block_device) /* the names of devices are links as a rule */
        return 0;
    if (!(d->real = io_place_path(&p)))
        return err_nomem(err);
    return check_target(r, d, &p, d->real, err);
}

int restore_real_places(struct restore *r, struct restore_vm *vm, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < vm->n_disks && rc >= 0; i++)
        if (!vm->disks[i].new_volume && (rc = find_real(r, &vm->disks[i], err)) < 0)
            err_context(err, "VM %s, disk %s", vm->name, vm->disks[i].target);
    return rc;
}
