/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether QEMU's user gets to a folder: the kernel is asked, in a child that is that user with its groups, so that access lists and
 * all else that the kernel knows of count. */
#include "hypervisor/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUPS_MAX 64
#define PASSWD_BYTES 4096
enum { REACHED = 0, NOT_REACHED = 1, NOT_KNOWN = 2 };

static int groups_of(uid_t uid, gid_t gid, gid_t groups[static GROUPS_MAX])
{
    char text[PASSWD_BYTES];
    struct passwd pw, *found = NULL;
    int n = GROUPS_MAX;

    groups[0] = gid;
    if (getpwuid_r(uid, &pw, text, sizeof(text), &found) != 0 || !found || getgrouplist(pw.pw_name, gid, groups, &n) < 0)
        return 1;
    return n;
}

/* Only what a child of a process with threads may do. */
static int look(const char *path, uid_t uid, gid_t gid, const gid_t *groups, int n)
{
    if (setgroups((size_t)n, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return NOT_KNOWN;
    if (access(path, X_OK) == 0)
        return REACHED;
    return errno == EACCES ? NOT_REACHED : NOT_KNOWN;
}

bool hv_qemu_reaches(const struct hv *hv, const char *dir)
{
    gid_t groups[GROUPS_MAX], gid;
    int status = 0;
    uid_t uid;

    hv_qemu_ids(hv, &uid, &gid);
    if (geteuid() != 0 || uid == 0)
        return true; /* QEMU is whoever we are, or root */
    int n = groups_of(uid, gid, groups);
    pid_t pid = fork();
    if (pid == 0)
        _exit(look(dir, uid, gid, groups, n));
    if (pid < 0)
        return true; /* not known: the start would tell */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED);
}
