/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders that kvss and QEMU share: sockets of backup jobs, scratch files, overlays. */
#include "base/guid.h"
#include "base/io.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Root alone can hand a folder to QEMU's group; an ordinary user's QEMU runs as that user. */
static int give_to_qemu(struct hv *hv, const char *path, struct err *err)
{
    uid_t uid;
    gid_t gid;

    if (geteuid() != 0)
        return 0;
    hv_qemu_ids(hv, &uid, &gid);
    if (chown(path, (uid_t)-1, gid) < 0)
        return err_errno(err, errno, "cannot give the folder %s to QEMU's group %u", path, (unsigned)gid);
    if (chmod(path, 0770) < 0)
        return err_errno(err, errno, "cannot set the mode of %s", path);
    return 0;
}

/* The place for what lasts as long as a session: /run/kvss, or kvss in the user's run-time folder. NULL: the user has none. */
static int default_parent(char **ret, struct err *err)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");

    *ret = NULL;
    if (geteuid() != 0 && (!runtime || runtime[0] != '/'))
        return 0;
    _cleanup_free_ char *path = geteuid() == 0 ? strdup("/run/kvss") : io_path(runtime, "kvss");
    if (!path)
        return err_errno(err, ENOMEM, "cannot make a folder for QEMU");
    int r = io_mkdir_p(path, geteuid() == 0 ? 0711 : 0700, err); /* QEMU's user passes through to what is its own below */
    if (r == 0)
        *ret = TAKE_PTR(path);
    return r;
}

int hv_shared_dir_name(const char *parent, const char *prefix, char **ret, struct err *err)
{
    _cleanup_free_ char *own = NULL;
    const char *tmp = secure_getenv("TMPDIR"), *mark = "";
    struct guid id = guid_new();

    int r = parent ? 0 : default_parent(&own, err);
    if (r < 0)
        return r;
    if (!parent && !own) {
        parent = tmp && tmp[0] == '/' ? tmp : "/tmp";
        mark = HV_BACKUP_MARK "-";
    }
    char *path = str_format("%s/%s%s-%.8s", parent ? parent : own, mark, prefix, id.text);
    if (!path)
        return err_errno(err, ENOMEM, "cannot make a folder for QEMU");
    *ret = path;
    return 0;
}

int hv_shared_dir_make(struct hv *hv, const char *path, struct err *err)
{
    /* Never one that is there already: it would be someone else's. */
    if (mkdir(path, 0700) < 0)
        return err_errno(err, errno, "cannot make the folder %s", path);
    int r = give_to_qemu(hv, path, err);
    if (r < 0)
        (void)rmdir(path);
    return r;
}

int hv_shared_dir(struct hv *hv, const char *parent, const char *prefix, char **ret, struct err *err)
{
    _cleanup_free_ char *path = NULL;

    int r = hv_shared_dir_name(parent, prefix, &path, err);
    if (r >= 0)
        r = hv_shared_dir_make(hv, path, err);
    if (r >= 0)
        *ret = TAKE_PTR(path);
    return r;
}
