/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot provider as a shared object: the snapshot of a disk is a copy of its image, which is made while the guest is frozen. Good
 * for small images, and for file systems with reflinks, where a copy takes no time. The copies are in STORE/SET/, so that anyone who knows
 * the ID of a set can delete it. Only VMs that have a file named after their UUID in STORE/vms/ are taken.
 *
 *     cc -shared -fPIC $(pkg-config --cflags kvss) -o mirror.so mirror.c
 *     install -m 755 mirror.so "$(pkg-config --variable=provider_objects_dir kvss)"
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <kvss/provider.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define STORE "/var/lib/kvss-mirror"

static int check_health(void *p, char **ret_why_not, struct err *err)
{
    (void)p, (void)err;
    if (access(STORE, W_OK) < 0)
        *ret_why_not = strdup("the folder " STORE " does not exist: create it");
    return 0;
}

static int free_room(void *p, const char *volume, struct kvss_room *ret, struct err *err)
{
    struct statvfs st;

    (void)p, (void)volume;
    if (statvfs(STORE, &st) < 0)
        return err_errno(err, errno, "cannot look at " STORE);
    ret->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    ret->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    ret->place = strdup(STORE);
    return 0;
}

/* Disks of chosen VMs, in files; no files of other writers. */
static int is_volume_supported(void *p, const struct kvss_volume *volume, bool *ret, struct err *err)
{
    char chosen[4096];
    struct stat st;

    (void)p, (void)err;
    if (!volume->target || !volume->path)
        return 0;
    snprintf(chosen, sizeof(chosen), STORE "/vms/%s", volume->vm_uuid);
    *ret = access(chosen, F_OK) == 0 && stat(volume->path, &st) == 0 && S_ISREG(st.st_mode);
    return 0;
}

static int begin_prepare(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context, struct err *err)
{
    char dir[4096];

    (void)p, (void)snapshot_id;
    if (context & VSS_VOLSNAP_ATTR_PERSISTENT)
        return err_vss(err, VSS_E_UNSUPPORTED_CONTEXT, EOPNOTSUPP, "snapshots of %s cannot be persistent", volume);
    snprintf(dir, sizeof(dir), STORE "/%s", set_id);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "cannot create %s", dir);
    return 0;
}

static void copy_name(char *name, size_t n, const char *set_id, const char *vm_uuid, const char *target, const char *what)
{
    snprintf(name, n, STORE "/%s/%s-%s%s", set_id, vm_uuid, target, what);
}

/* Blocks are shared where the file system can. */
static int copy_image(const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;
    ssize_t n = 1;

    if (in < 0 || out < 0)
        r = err_errno(err, errno, "cannot copy %s to %s", from, to);
    if (r == 0 && ioctl(out, FICLONE, in) < 0)
        while ((n = sendfile(out, in, NULL, 1 << 30)) > 0)
            ;
    if (n < 0)
        r = err_errno(err, errno, "cannot copy %s to %s", from, to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return r;
}

/* The guest is frozen. Several VMs at once. */
static int take_point(void *p, const struct kvss_point *point, struct err *err)
{
    (void)p;
    for (size_t i = 0; i < point->n_disks; i++) {
        const struct kvss_point_disk *d = &point->disks[i];
        char copy[4096], format[4096];
        copy_name(copy, sizeof(copy), point->set_id, point->vm_uuid, d->target, "");
        copy_name(format, sizeof(format), point->set_id, point->vm_uuid, d->target, ".format");
        int r = copy_image(d->path, copy, err);
        if (r < 0)
            return r;
        if (symlink(d->format, format) < 0)
            return err_errno(err, errno, "cannot create %s", format);
    }
    return 0;
}

static int commit(void *p, const char *set_id, struct err *err)
{
    (void)p, (void)set_id, (void)err; /* all copies are there */
    return 0;
}

static int open_disk(void *p, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err)
{
    char copy[4096], name[4096], format[64];

    (void)p;
    copy_name(copy, sizeof(copy), set_id, vm_uuid, target, "");
    copy_name(name, sizeof(name), set_id, vm_uuid, target, ".format");
    ssize_t n = readlink(name, format, sizeof(format) - 1);
    if (n < 0)
        return err_errno(err, errno, "there is no copy of disk %s", target);
    format[n] = '\0';
    ret->path = strdup(copy);
    ret->format = strdup(format);
    ret->why_full = strdup("copies of images do not show what changed");
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* Also of a set that another process has begun. */
static int delete_set(void *p, const char *set_id, struct err *err)
{
    char dir[4096];

    (void)p;
    snprintf(dir, sizeof(dir), STORE "/%s", set_id);
    if (access(dir, F_OK) == 0 && nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS) != 0)
        return err_errno(err, errno, "cannot delete %s", dir);
    return 0;
}

static const struct kvss_provider mirror = {
    .struct_size = sizeof(struct kvss_provider),
    .api = KVSS_PROVIDER_API,
    .name = "mirror",
    .id = "0d9e1b5c-3f43-4c0c-9d27-6a1e5b7c2f10",
    .version = "1.0",
    .type = KVSS_PROV_SOFTWARE,
    .check_health = check_health,
    .free_room = free_room,
    .is_volume_supported = is_volume_supported,
    .begin_prepare = begin_prepare,
    .take_point = take_point,
    .commit = commit,
    .open_disk = open_disk,
    .abort_snapshots = delete_set,
    .delete_snapshots = delete_set,
};

const struct kvss_provider *kvss_provider_entry(unsigned host_api)
{
    return host_api == KVSS_PROVIDER_API ? &mirror : NULL;
}
