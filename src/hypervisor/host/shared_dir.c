/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders that last as long as a session: its private one, and those that QEMU is let into (sockets and scratch files that have no
 * other place). What root believes lies in the first alone; QEMU's user owns the others, and no member of its group gets in. */
#include "base/guid.h"
#include "base/io.h"
#include "hypervisor/host/hv_internal.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Root alone can hand a folder to QEMU's user; an ordinary user's QEMU runs as that user. The parent is root's, so that the name cannot
 * mean something else meanwhile. */
static int give_to_qemu(struct hv *hv, const char *path, struct err *err)
{
    uid_t uid;
    gid_t gid;

    if (geteuid() != 0)
        return 0;
    hv_qemu_ids(hv, &uid, &gid);
    if (lchown(path, uid, gid) < 0)
        return err_errno(err, errno, "cannot give folder %s to QEMU's user %u", path, (unsigned)uid);
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
        return err_nomem(err);
    int r = io_mkdir_p(path, geteuid() == 0 ? 0711 : 0700, err); /* QEMU's user passes through to what is its own below */
    if (r == 0)
        *ret = TAKE_PTR(path);
    return r;
}

int hv_session_dir_name(const char *prefix, char **ret, struct err *err)
{
    _cleanup_free_ char *parent = NULL;
    const char *tmp = secure_getenv("TMPDIR");
    struct guid id = guid_new();

    int r = default_parent(&parent, err);
    if (r < 0)
        return r;
    char *path = parent ? str_format("%s/%s-%.8s", parent, prefix, id.text)
                        : str_format("%s/" HV_BACKUP_MARK "-%s-%.8s", tmp && tmp[0] == '/' ? tmp : "/tmp", prefix, id.text);
    if (!path)
        return err_nomem(err);
    *ret = path;
    return 0;
}

int hv_private_dir_make(const char *path, struct err *err)
{
    /* Never one that is there already: it would be someone else's. */
    return mkdir(path, 0700) < 0 ? err_errno(err, errno, "cannot create folder %s", path) : 0;
}

int hv_shared_dir_make(struct hv *hv, const char *path, struct err *err)
{
    int r = hv_private_dir_make(path, err);
    if (r < 0)
        return r;
    r = give_to_qemu(hv, path, err);
    if (r < 0)
        (void)rmdir(path);
    return r;
}
