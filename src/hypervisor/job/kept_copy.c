/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a dirty bitmap is to a qcow2 image, a copy that shares its blocks is to an image of another format: it lies next to it from one
 * backup to the next, with the VM, the disk and the checkpoint in its name. Clause B4. */
#include "base/io_at.h"
#include "base/io_changes.h"
#include "base/buf.h"
#include "base/strv.h"
#include "hypervisor/hypervisor.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define KEPT ".kvss-kept-"
#define SAFE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define AT_CHECKPOINT "-" HV_BACKUP_MARK "-" /* begins a checkpoint's name, in no disk's */
#define KEPT_AS "trusted.kvss.kept"          /* attribute: the name that it was given */
#define WRITTEN_AT 315532800                 /* seconds: what a copy's time is set to. Whoever writes it sets another */

/* NULL: the disk or the checkpoint has a name that no file can have, or out of memory. Caller frees. */
static char *kept_name(const struct hv_kept_copy *k)
{
    if (k->target[strspn(k->target, SAFE)] || k->checkpoint[strspn(k->checkpoint, SAFE)])
        return NULL;
    return str_format(KEPT "%s-%s-%s", k->vm_uuid, k->target, k->checkpoint);
}

/* The folder of the image, where nobody but root and QEMU's user can exchange what is in it; *ret: -1, there is none. */
static int kept_dir(struct hv *hv, const char *image, char **ret_path, int *ret, struct err *err)
{
    *ret = -1;
    int r = hv_scratch_dir(hv, image, NULL, ret_path, err);
    return r < 0 || !*ret_path ? r : io_open_folder(*ret_path, ret, err);
}

/* ---- Made ---------------------------------------------------------------------------------------------------------------------*/

/* Only files that are alike in that they are overwritten in their place, or not, can share blocks. */
static void take_nocow(int from, int to)
{
    int theirs = 0, own = 0;

    if (ioctl(from, FS_IOC_GETFLAGS, &theirs) < 0 || ioctl(to, FS_IOC_GETFLAGS, &own) < 0 || !((theirs ^ own) & FS_NOCOW_FL))
        return;
    own ^= FS_NOCOW_FL;
    (void)ioctl(to, FS_IOC_SETFLAGS, &own);
}

/* The time is set when all else is on disk: without it, the copy is none. */
static int clone_into(int from, int dir, const char *name, struct err *err)
{
    const struct timespec written[2] = { { .tv_sec = WRITTEN_AT }, { .tv_sec = WRITTEN_AT } };
    _cleanup_close_ int to = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (to < 0)
        return err_errno(err, errno, "cannot create %s", name);
    take_nocow(from, to);
    if (ioctl(to, FICLONE, from) < 0)
        return err_errno(err, errno, "the file system cannot clone the image");
    if (fsetxattr(to, KEPT_AS, name, strlen(name), XATTR_CREATE) < 0 || fchmod(to, 0400) < 0 || fsync(to) < 0 ||
        futimens(to, written) < 0 || fsync(to) < 0)
        return err_errno(err, errno, "cannot complete %s", name);
    return 0;
}

char *hv_kept_copy_path(struct hv *hv, const struct hv_kept_copy *k, struct err *err)
{
    _cleanup_free_ char *dir = NULL, *name = kept_name(k);
    _cleanup_close_ int fd = -1;
    char *path = NULL;

    if (!name)
        err_set(err, EINVAL, "the disk or its checkpoint has a name that no file can have");
    else if (kept_dir(hv, k->image, &dir, &fd, NULL) < 0 || !dir)
        err_set(err, EPERM, "users other than root and QEMU can write to the directory of the image");
    else if (!(path = str_format("%s/%s", dir, name)))
        err_nomem(err);
    return path;
}

int hv_kept_copy_make(struct hv *hv, const struct hv_kept_copy *k, const char *copy, struct err *err)
{
    _cleanup_free_ char *path = NULL, *name = kept_name(k);
    _cleanup_close_ int dir = -1, from = io_open_file(copy, O_RDONLY, err);

    if (from < 0)
        return from;
    int r = name ? kept_dir(hv, k->image, &path, &dir, err) : err_nomem(err);
    if (r >= 0 && dir < 0)
        r = err_set(err, EPERM, "there is no place for it next to the image");
    if (r >= 0)
        r = io_can_compare(from, err);
    if (r >= 0)
        r = clone_into(from, dir, name, err);
    if (r >= 0 && (r = io_fsync_at(dir)) < 0)
        err_errno(err, -r, "cannot write the directory %s", path);
    return r < 0 ? r : 0;
}

/* ---- Used ---------------------------------------------------------------------------------------------------------------------*/

/* Whether it is root's, and was made under this name. */
static bool is_made_as(int fd, const char *name, struct stat *ret)
{
    char as[NAME_MAX + 1];

    return fstat(fd, ret) == 0 && S_ISREG(ret->st_mode) && ret->st_uid == geteuid() &&
           fgetxattr(fd, KEPT_AS, as, sizeof(as)) == (ssize_t)strlen(name) && !memcmp(as, name, strlen(name));
}

/* -ENOENT: there is none; -EUCLEAN: it is not as it was made, or has the name of another. */
static int open_kept(int dir, const char *name, struct err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_errno(err, errno, "cannot open it");
    if (is_made_as(fd, name, &st) && st.st_nlink == 1 && !(st.st_mode & 0377) && st.st_mtim.tv_sec == WRITTEN_AT && st.st_mtim.tv_nsec == 0)
        return fd;
    close(fd);
    return err_set(err, EUCLEAN, "it was changed after it was made");
}

int hv_kept_copy_changes(struct hv *hv, const struct hv_kept_copy *k, const char *copy, struct kvss_range **ret, size_t *ret_n,
                         struct err *err)
{
    _cleanup_free_ char *path = NULL, *name = kept_name(k);
    _cleanup_close_ int dir = -1;

    int r = kept_dir(hv, k->image, &path, &dir, err);
    if (r < 0 || dir < 0 || !name)
        return r < 0 ? r : -ENOENT;
    _cleanup_close_ int before = open_kept(dir, name, err);
    if (before < 0)
        return before;
    _cleanup_close_ int now = io_open_file(copy, O_RDONLY, err);
    struct stat a, b;
    if (now < 0)
        return now;
    if (fstat(before, &a) < 0 || fstat(now, &b) < 0 || a.st_size != b.st_size)
        return err_set(err, EUCLEAN, "its size differs from that of the disk");
    return io_changes(before, now, ret, ret_n, err);
}

/* ---- All of a VM --------------------------------------------------------------------------------------------------------------*/

typedef int kept_fn(void *ctx, int dir, const char *name, const char *checkpoint, struct err *err);

/* Whatever else has such a name is not touched. */
static bool is_ours(int dir, const char *name)
{
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    return fd >= 0 && is_made_as(fd, name, &st);
}

/* Goes on after failures; the first is returned. */
static int each_in(int folder, const char *prefix, kept_fn *fn, void *ctx, struct err *err)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), first = 0;
    _cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return err_errno(err, code, "cannot list the directory of the image");
    }
    for (struct dirent *e; (e = readdir(d));) {
        const char *checkpoint = strncmp(e->d_name, prefix, strlen(prefix)) ? NULL : strstr(e->d_name + strlen(prefix), AT_CHECKPOINT);
        struct err why = ERR_INIT;
        if (checkpoint && is_ours(folder, e->d_name) && fn(ctx, folder, e->d_name, checkpoint + 1, &why) < 0 && !first)
            first = err_move(err, &why);
    }
    return first;
}

/* Of whatever disks, in the folders of those that the VM has now: not where kvss makes no files. */
static int each_kept(const struct hv_domain *d, kept_fn *fn, void *ctx, struct err *err)
{
    _cleanup_free_ char *prefix = str_format(KEPT "%s-", d->uuid);
    int first = prefix ? 0 : err_nomem(err);

    for (size_t i = 0; prefix && i < d->n_disks && hv_is_local(d->hv); i++) {
        const struct hv_disk *disk = &d->disks[i];
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int dir = -1;
        struct err why = ERR_INIT;
        if (disk->path && disk->path[0] == '/' && kept_dir(d->hv, disk->path, &path, &dir, NULL) >= 0 && dir >= 0 &&
            each_in(dir, prefix, fn, ctx, &why) < 0 && !first)
            first = err_move(err, &why);
    }
    return first;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

struct kept_list {
    const char *prefix;
    char *const *keep;
    char ***names;
};

static int list_kept(void *ctx, int dir, const char *name, const char *checkpoint, struct err *err)
{
    const struct kept_list *l = ctx;

    (void)dir, (void)name;
    if (!has_prefix(checkpoint, l->prefix) || strv_has(*l->names, checkpoint))
        return 0;
    return strv_add(l->names, checkpoint) < 0 ? err_nomem(err) : 0;
}

static int drop_kept(void *ctx, int dir, const char *name, const char *checkpoint, struct err *err)
{
    const struct kept_list *l = ctx;

    if (!has_prefix(checkpoint, l->prefix) || strv_has(l->keep, checkpoint))
        return 0;
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "cannot remove %s, next to the image", name);
    return l->names && !strv_has(*l->names, checkpoint) && strv_add(l->names, checkpoint) < 0 ? err_nomem(err) : 0;
}

int hv_kept_copies(const struct hv_domain *d, const char *prefix, char ***ret, struct err *err)
{
    struct kept_list l = { prefix, NULL, ret };

    return each_kept(d, list_kept, &l, err);
}

int hv_kept_copies_drop(const struct hv_domain *d, const char *prefix, char *const *keep, char ***dropped, struct err *err)
{
    struct kept_list l = { prefix, keep, dropped };

    return each_kept(d, drop_kept, &l, err);
}
