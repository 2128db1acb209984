/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's folder of a VM is closed to QEMU's group while a backup job has its socket there: libvirt lets the group into its folders, and
 * QEMU makes sockets that the group can write to, so every member could read the disks of the VM. Clauses B2, M22. */
#include "base/io.h"
#include "base/num.h"
#include "providers/qemu_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHERS (S_IRWXG | S_IRWXO)
#define MODE_BITS 07777u

static int set_mode(struct qemu_provider *p, struct qemu_point *pt, const char *dir, int fd, mode_t mode, struct err *err)
{
    char text[16];

    snprintf(text, sizeof(text), "%o", (unsigned)mode);
    const struct journal_arg args[] = {
        { "group", pt->vm_uuid }, { "vm", pt->vm_name }, { "path", dir }, { "mode", text }, { NULL, NULL },
    };
    int r = journal_begin(p->config.journal, VERB_CLOSED_DIR, args, &pt->fx_closed, err);
    if (r >= 0)
        r = journal_made(p->config.journal, pt->fx_closed, err); /* which folder it is, before it is changed */
    if (r < 0)
        return r;
    if (fchmod(fd, mode & ~(mode_t)OTHERS) < 0)
        return err_errno(err, errno, "cannot close folder %s to QEMU's group", dir);
    r = journal_done(p->config.journal, pt->fx_closed);
    return r < 0 ? err_errno(err, -r, "VM %s: a step of taking the point in time failed", pt->vm_name) : 0;
}

int qemu_close_folder(struct qemu_provider *p, struct qemu_point *pt, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(pt->socket);
    struct stat st;

    if (geteuid() != 0 || !hv_is_local(p->config.hv))
        return 0; /* an ordinary user's folders are that user's alone */
    _cleanup_close_ int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, dir ? errno : ENOMEM, "cannot access the folder of socket %s", pt->socket);
    return st.st_mode & OTHERS ? set_mode(p, pt, dir, fd, st.st_mode & MODE_BITS, err) : 0;
}

/* Whatever the mode is by now: only what was set here is set back. */
static int open_again(const struct journal_effect *e, const struct journal_place *p, struct err *err)
{
    const char *text = journal_value(e, "mode");
    char *end = NULL;
    struct stat st;

    unsigned long mode = text ? strtoul(text, &end, 8) : 0;
    if (!text || end == text || *end || mode > MODE_BITS)
        return err_set(err, EBADMSG, "the former mode of folder %s is not known", p->path);
    _cleanup_close_ int fd = openat(p->dir, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot access folder %s", p->path);
    if ((st.st_mode & MODE_BITS) != (mode & ~(unsigned long)OTHERS))
        return 0;
    return fchmod(fd, (mode_t)mode) < 0 ? err_errno(err, errno, "cannot reopen folder %s to QEMU's group", p->path) : 0;
}

/* The folder goes with the VM; another one under its name is of another start. Without an identity nothing was changed yet. */
int qemu_undo_closed(void *ctx, const struct journal_effect *e, struct err *err)
{
    _cleanup_(journal_place_close) struct journal_place p = { .dir = -1 };

    (void)ctx;
    int r = journal_place_find(e, "path", &p, err);
    return r == JOURNAL_SAME ? open_again(e, &p, err) : r < 0 ? r : 0;
}
