/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where scratch files lie. libvirt gives them to QEMU's user by their paths, as root, and QEMU opens them by their paths too: so nobody but
 * these two may be able to put a link in their place. */
#include "base/io.h"
#include "base/io_at.h"
#include "hypervisor/hypervisor.h"
#include <errno.h>
#include <string.h>

static int exchangeable(const char *dir, struct err *err)
{
    return err_set(err, EPERM,
                   "scratch files would be created in %s, where users other than root can plant links that libvirt would follow as root: "
                   "set snapshot-dir to a folder that only root can write to, including all folders above it",
                   dir);
}

static int wanted_dir(const char *wanted, uid_t qemu, char **ret, struct err *err)
{
    _cleanup_close_ int fd = -1;
    _cleanup_free_ char *kept = NULL;
    bool same = false;

    int r = io_open_folder(wanted, &fd, err);
    if (r < 0)
        return err_context(err, "snapshot-dir");
    if (io_kept_folder(wanted, qemu, &kept, NULL) < 0 || io_same_folder(kept, wanted, &same) < 0 || !same)
        return exchangeable(wanted, err);
    *ret = strdup(wanted);
    return *ret ? 0 : err_nomem(err);
}

/* Beside the image; else in the nearest folder above that will do, on the same volume (M4c). */
static int beside_dir(const char *image, uid_t qemu, char **ret, struct err *err)
{
    _cleanup_free_ char *real = NULL, *kept = NULL;
    bool same = false;

    int r = io_real_path(image, &real, err);
    _cleanup_free_ char *beside = r >= 0 ? io_dirname(real) : NULL;
    if (!beside)
        return r < 0 ? r : err_nomem(err);
    if (io_kept_folder(beside, qemu, &kept, NULL) < 0)
        return exchangeable(beside, err);
    if ((r = io_same_volume(kept, beside, &same)) < 0)
        return err_errno(err, -r, "cannot access %s", kept);
    if (!same)
        return exchangeable(beside, err);
    *ret = TAKE_PTR(kept);
    return 0;
}

int hv_scratch_dir(struct hv *hv, const char *image, const char *wanted, char **ret, struct err *err)
{
    uid_t uid = 0;
    gid_t gid;

    *ret = NULL;
    if (!wanted && (!image || !strncmp(image, "/dev/", 5)))
        return 0;
    if (!hv_is_local(hv)) {
        *ret = wanted ? strdup(wanted) : io_dirname(image);
        return *ret ? 0 : err_nomem(err);
    }
    hv_qemu_ids(hv, &uid, &gid);
    return wanted ? wanted_dir(wanted, uid, ret, err) : beside_dir(image, uid, ret, err);
}
