/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mark of a VM whose QEMU was told of background-snapshot: a file in the folder of state, by the VM's UUID, that names the QEMU. It
 * outlives sessions and their journals, and stays for as long as that QEMU runs. The process that has QEMU write holds a lock on it: the
 * undo of a session that died may come about late, and must not take the protection off memory that another one has written. */
#include "base/io.h"
#include "base/process_stat.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MARK_MAX 256

static char *mark_path(const struct hv_domain *d)
{
    return d->hv->state_dir ? str_format("%s/live-state/%s", d->hv->state_dir, d->uuid) : NULL;
}

/* What this QEMU has and no other of the VM's: the number that libvirt gives each start, and its process. NULL: it does not run. */
static char *mark_text(struct hv_domain *d)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    _cleanup_(virDomainFree_p) virDomainPtr now = NULL;

    if (virDomainGetUUID(hv_handle(d), uuid) == 0)
        now = virDomainLookupByUUID(virDomainGetConnect(hv_handle(d)), uuid);
    if (!now || virDomainIsActive(now) != 1)
        return NULL;
    return str_format("%u %llu\n", virDomainGetID(now), (unsigned long long)domain_process_id(d->hv, d->name));
}

/* The process's, not the descriptor's: what this one undoes is its own. */
static int lock_mark(const char *path, int *ret_lock, struct err *err)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    _cleanup_close_ int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fcntl(fd, F_SETLK, &whole) < 0)
        return err_errno(err, errno, "cannot lock %s", path);
    *ret_lock = TAKE_FD(fd);
    return 0;
}

/* One that was killed while its disk hangs has its locks until the disk goes on, and does nothing any more. */
static bool is_killed(pid_t pid)
{
    struct process_stat st;

    int r = process_stat((uint64_t)pid, &st);
    return r == -ENOENT || (r >= 0 && (st.state == 'Z' || st.state == 'X'));
}

int live_check_lock(const struct hv_domain *d, struct err *err)
{
    struct flock held = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    _cleanup_free_ char *path = mark_path(d);

    if (!path)
        return d->hv->state_dir ? err_nomem(err) : 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_GETLK, &held) < 0 || held.l_type == F_UNLCK || is_killed(held.l_pid))
        return 0;
    return err_set(err, EBUSY, "VM %s: its memory is being written by another session (process %d)", d->name, (int)held.l_pid);
}

int live_mark(struct hv_domain *d, int *ret_lock, struct err *err)
{
    _cleanup_free_ char *path = mark_path(d), *dir = path ? io_dirname(path) : NULL, *text = mark_text(d);

    if (!d->hv->state_dir)
        return err_set(err, EOPNOTSUPP, "VM %s: there is no place for the mark of live-state", d->name);
    if (!path || !dir)
        return err_nomem(err);
    if (!text)
        return err_set(err, EAGAIN, "VM %s is no longer running", d->name);
    int r = io_mkdir_p(dir, 0700, err);
    if (r >= 0)
        r = io_fsync_parent(dir, err);
    if (r >= 0)
        r = io_replace_file(path, text, strlen(text), 0600, err);
    return r < 0 ? r : lock_mark(path, ret_lock, err);
}

int live_is_marked(struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *path = mark_path(d), *text = NULL;
    _cleanup_buf_ struct buf is = BUF_INIT;
    struct err why = ERR_INIT;

    if (!path)
        return d->hv->state_dir ? err_nomem(err) : 0;
    int r = io_read_file(path, MARK_MAX, &is, &why);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return err_move(err, &why);
    text = mark_text(d);
    if (text && !strcmp(text, (const char *)is.data))
        return 1;
    (void)io_unlink(path, &why); /* another time it would be as wrong */
    return 0;
}
