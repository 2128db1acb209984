/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's own folder of a VM that runs: the place where QEMU may make a socket, whatever confines it. */
#include "hypervisor/domain/domain_dir.h"
#include "base/buf.h"
#include "base/guid.h"
#include "base/io.h"
#include "base/num.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define RANDOM_CHARS 7 /* "kvss-1234567" is as long as libvirt's own "monitor.sock", which has to fit as well */

/* Length of the part of the VM's name that the folder has; 0: it is not a folder of this VM. */
static size_t name_part(const char *entry, const char *prefix, const char *name)
{
    size_t n = strlen(prefix), len = strlen(entry);

    if (len <= n || strncmp(entry, prefix, n) != 0 || strncmp(entry + n, name, len - n) != 0)
        return 0;
    return len - n;
}

int domain_dir_find(const char *parent, int id, const char *name, char **ret, struct err *err)
{
    _cleanup_closedir_ DIR *dir = opendir(parent);
    _cleanup_free_ char *found = NULL;
    size_t best = 0;
    char prefix[32];
    struct dirent *e;
    struct stat st;

    if (!dir)
        return err_errno(err, errno, "cannot search for libvirt's folder of VM %s in %s", name, parent);
    snprintf(prefix, sizeof(prefix), "domain-%d-", id);
    while ((e = readdir(dir))) {
        size_t part = name_part(e->d_name, prefix, name);
        if (part <= best || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            continue;
        best = part;
        free(found);
        if (!(found = io_path(parent, e->d_name)))
            return err_nomem(err);
    }
    if (!found)
        return err_set(err, ENOENT, "libvirt has no folder %s* of VM %s in %s", prefix, name, parent);
    *ret = TAKE_PTR(found);
    return 0;
}

/* Asked anew: the VM may have been started again since it was looked up. -1: it does not run. */
static int current_id(struct hv_domain *d)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    _cleanup_(virDomainFree_p) virDomainPtr now = NULL;

    if (virDomainGetUUID(hv_handle(d), uuid) == 0)
        now = virDomainLookupByUUID(virDomainGetConnect(hv_handle(d)), uuid);
    return now ? (int)virDomainGetID(now) : -1;
}

int domain_dir_socket(const char *dir, char **ret, struct err *err)
{
    struct guid id = guid_new();
    _cleanup_free_ char *path = str_format("%s/" HV_BACKUP_MARK "-%.*s", dir, RANDOM_CHARS, id.text);

    if (!path)
        return err_nomem(err);
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(err, ENAMETOOLONG, "the path of libvirt's folder %s is too long for a socket in it", dir);
    *ret = TAKE_PTR(path);
    return 0;
}

int hv_backup_socket(struct hv_domain *d, char **ret, struct err *err)
{
    _cleanup_free_ char *parent = hv_lib_dir(d->hv);
    _cleanup_free_ char *dir = NULL;

    if (!parent)
        return err_set(err, EOPNOTSUPP, "cannot determine where libvirt keeps its folder of VM %s", d->name);
    int id = current_id(d);
    if (id < 0)
        return err_set(err, ENOENT, "VM %s is not running", d->name);
    int r = domain_dir_find(parent, id, d->name, &dir, err);
    return r < 0 ? r : domain_dir_socket(dir, ret, err);
}

int hv_backup_socket_remove(const char *path, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(path);
    struct stat st;

    if (!dir)
        return err_nomem(err);
    /* The folder belongs to QEMU, and goes with the VM: what lies in it is not trusted to be what was made. */
    _cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (fd < 0)
        return err_errno(err, errno, "cannot remove the socket %s", path);
    const char *name = path + strlen(dir) + 1;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? !S_ISSOCK(st.st_mode) : errno == ENOENT)
        return 0;
    return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? err_errno(err, errno, "cannot remove the socket %s", path) : 0;
}
