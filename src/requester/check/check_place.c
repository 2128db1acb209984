/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the repository lies: not beside the images, whose loss it is there for. */
#include "base/buf.h"
#include "base/io.h"
#include "requester/check/check.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO_MAX ((size_t)16 << 20)

/* "MAJOR:MINOR" of the file system that holds path, as mountinfo tells it: st_dev differs between subvolumes of one btrfs, and a bind
 * mount is another mount point. False: it cannot be told. */
static bool file_system_of(const char *path, const char *mountinfo, char ret[static 24])
{
    struct statx st;

    if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
        return false;
    for (const char *line = mountinfo; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        unsigned long long id;
        if (sscanf(line, "%llu %*u %23s", &id, ret) == 2 && id == st.stx_mnt_id)
            return true;
    }
    return false;
}

static bool lies_on(const struct check_vm *vm, const char *mountinfo, const char *file_system)
{
    char other[24];

    for (size_t i = 0; i < vm->dom->n_disks; i++) {
        const struct hv_disk *d = &vm->dom->disks[i];
        if (d->source == HV_SOURCE_FILE && d->device == HV_DEVICE_DISK && d->path && file_system_of(d->path, mountinfo, other) &&
            !strcmp(other, file_system))
            return true;
    }
    return false;
}

void check_place_of_repository(struct check *c, const char *path)
{
    _cleanup_buf_ struct buf mounts = BUF_INIT;
    _cleanup_strv_ char **vms = NULL;
    char file_system[24];

    if (io_read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &mounts, NULL) < 0 ||
        !file_system_of(path, (const char *)mounts.data, file_system))
        return;
    for (size_t i = 0; i < c->n; i++)
        if (c->vms[i].dom && lies_on(&c->vms[i], (const char *)mounts.data, file_system))
            (void)strv_add(&vms, c->vms[i].report->name);
    _cleanup_free_ char *names = vms ? strv_join(vms, ", ") : NULL;
    if (names)
        check_found(c, c->findings,
                    FOUND(FINDING_WARNING, "repository-beside-images", "keep the repository on another disk or another host"),
                    "the repository %s is on the same file system as images of %s: whatever destroys one destroys the other", path, names);
}
