/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU's user may do on this host. Asked of the kernel in that user's name, so that groups, access lists and network file systems
 * are all taken into account. */
#include "base/io.h"
#include "hypervisor/host/hv_internal.h"
#include "base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#define GROUPS_MAX 64
#define NAMES_MAX 16384

struct question {
    uid_t uid;
    gid_t gid, groups[GROUPS_MAX];
    int n_groups;
    char *path; /* cut off where the way ends */
    int error;  /* 0: the whole way is open */
};

static void find_groups(struct question *q)
{
    char names[NAMES_MAX];
    struct passwd pw, *found = NULL;

    q->n_groups = GROUPS_MAX;
    if (getpwuid_r(q->uid, &pw, names, sizeof(names), &found) != 0 || !found ||
        getgrouplist(found->pw_name, q->gid, q->groups, &q->n_groups) < 0) {
        q->groups[0] = q->gid;
        q->n_groups = 1;
    }
}

/* Folder by folder, so that the first that is closed can be named. */
static void access_walk(struct question *q)
{
    for (char *end = q->path;; *end = '/') {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        bool last = !*end;
        *end = '\0';
        if (faccessat(AT_FDCWD, q->path, X_OK, AT_EACCESS) < 0) {
            q->error = errno;
            return;
        }
        if (last)
            return;
    }
}

/* Identities are a thread's own in Linux, as long as the system calls are made directly; this thread ends with them. */
static void *ask_in_its_name(void *arg)
{
    struct question *q = arg;

    if (geteuid() == 0 && q->uid != 0) {
        if (syscall(SYS_setgroups, (size_t)q->n_groups, q->groups) < 0) {
            q->error = errno;
            return NULL;
        }
        setfsgid(q->gid);
        setfsuid(q->uid);
    }
    access_walk(q);
    return NULL;
}

int hv_qemu_may_enter(struct hv *hv, const char *dir, char **ret_closed, struct err *err)
{
    struct question q = { .path = strdup(dir) };
    pthread_t thread;

    *ret_closed = NULL;
    if (!q.path)
        return err_nomem(err);
    hv_qemu_ids(hv, &q.uid, &q.gid);
    find_groups(&q);
    int r = -thread_start(&thread, "kvss-access", ask_in_its_name, &q);
    if (r == 0)
        pthread_join(thread, NULL);
    if (r == 0 && q.error == EACCES) {
        *ret_closed = q.path;
        return 0;
    }
    free(q.path);
    if (r == 0)
        r = q.error;
    return r ? err_errno(err, r, "cannot determine whether QEMU can access %s", dir) : 1;
}
