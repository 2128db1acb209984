/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/confine_internal.h"
#include "base/cleanup.h"
#include "base/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const confine_system[] = { "/usr",       "/bin",       "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache",
                                       "/nix/store", "/gnu/store", NULL };
const char *const confine_names[] = { "/etc/resolv.conf",
                                      "/etc/hosts",
                                      "/etc/host.conf",
                                      "/etc/nsswitch.conf",
                                      "/etc/gai.conf",
                                      "/etc/services",
                                      "/etc/protocols",
                                      "/etc/ssl",
                                      "/etc/pki",
                                      "/etc/ceph",
                                      NULL };

/* ---- Before the fork --------------------------------------------------------------------------------------------------------------*/

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int search(const char *name, char **ret)
{
    const char *path = getenv("PATH");
    int r = -ENOENT;

    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        _cleanup_free_ char *full = len ? str_format("%.*s/%s", (int)len, at, name) : str_format("./%s", name);
        if (!full)
            return -ENOMEM;
        if (is_program(full)) {
            *ret = TAKE_PTR(full);
            return 0;
        }
        if (errno == EACCES)
            r = -EACCES;
        at += len + (at[len] == ':');
    }
    return r;
}

static bool is_systems(const char *path)
{
    for (const char *const *s = confine_system; *s; s++)
        if (strncmp(path, *s, strlen(*s)) == 0 && path[strlen(*s)] == '/')
            return true;
    return false;
}

/* Its folder, and of "/opt/qemu/bin" also /opt/qemu/lib and lib64. */
static int find_folders(const char *program, struct confine_site *ret)
{
    static const char *const beside[] = { "/../lib", "/../lib64" };
    int len = (int)(strrchr(program, '/') - program);
    size_t n = 0;

    if (is_systems(program) || len == 0)
        return 0;
    if (!(ret->folders[n++] = strndup(program, (size_t)len)))
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
        _cleanup_free_ char *name = str_format("%.*s%s", len, program, beside[i]);
        if (!name)
            return -ENOMEM;
        if ((ret->folders[n] = realpath(name, NULL)))
            n++;
    }
    return 0;
}

int confine_find(const char *name, struct confine_site *ret)
{
    _cleanup_free_ char *found = NULL;

    int r = strchr(name, '/') ? ((found = strdup(name)) ? 0 : -ENOMEM) : search(name, &found);
    if (r < 0)
        return r;
    if (!(ret->program = realpath(found, NULL)))
        return -errno;
    return find_folders(ret->program, ret);
}

void confine_site_clear(struct confine_site *s)
{
    free(s->program);
    for (size_t i = 0; i < ARRAY_SIZE(s->folders); i++)
        free(s->folders[i]);
    *s = (struct confine_site){ 0 };
}

/* ---- In the child: who it is ------------------------------------------------------------------------------------------------------*/

/* effective: of the permitted ones. */
static bool set_capabilities(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    for (unsigned i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){ .permitted = (uint32_t)(permitted >> (32 * i)),
                                                   .effective = (uint32_t)(effective >> (32 * i)),
                                                   .inheritable = (uint32_t)(inheritable >> (32 * i)) };
    return syscall(SYS_capset, &head, data) == 0;
}

/* As the file system sees it: of a network file system the server is asked. For real and effective user, which are one; with
 * SECBIT_NO_SETUID_FIXUP capabilities count as they are. */
static bool may_open(const char *path, int how)
{
    return access(path, how) == 0;
}

static bool may_open_all(const struct confine *c, const struct confine_site *site)
{
    char path[] = "/proc/self/fd/NNNNNNNNNN";
    char *digits = path + strlen("/proc/self/fd/");

    for (size_t fd = 3; fd < 3 + site->n_fds; fd++) {
        size_t n = 0, rest = fd;
        char turned[20];
        for (; rest || !n; rest /= 10)
            turned[n++] = (char)('0' + rest % 10);
        for (size_t i = 0; i < n; i++)
            digits[i] = turned[n - 1 - i];
        digits[n] = '\0';
        struct stat st;
        if (fstat((int)fd, &st) == 0 && !S_ISSOCK(st.st_mode) && !may_open(path, c->write ? R_OK | W_OK : R_OK))
            return false;
    }
    for (const char *const *p = c->reach; p && *p; p++) {
        struct stat st;
        if (!may_open(*p, stat(*p, &st) == 0 && S_ISSOCK(st.st_mode) ? W_OK : R_OK))
            return false;
    }
    return true;
}

#define MASK(cap) ((uint64_t)1 << (cap))

/* A container's root may have few. */
static uint64_t permitted_now(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    return syscall(SYS_capget, &head, data) < 0 ? 0 : data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static bool change_user(uid_t uid, gid_t gid)
{
    return syscall(SYS_setgroups, (size_t)0, NULL) == 0 && syscall(SYS_setresgid, gid, gid, gid) == 0 &&
           syscall(SYS_setresuid, uid, uid, uid) == 0;
}

/* The user with nothing; with the right to open what others own; and as root, where a file system lets nobody else in (FUSE, NFS). Never
 * CAP_DAC_READ_SEARCH: with it files are opened by their handles, wherever they are. */
static bool become(const struct confine *c, const struct confine_site *site)
{
    const uint64_t has = permitted_now(), open_all = MASK(CAP_DAC_OVERRIDE) & has;
    const uint64_t own = ((MASK(CAP_SETUID) | MASK(CAP_SETGID)) & has) | open_all;
    uint64_t keep = 0;

    if (prctl(PR_SET_SECUREBITS, (long)(SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP | SECBIT_NOROOT), 0L, 0L, 0L) < 0)
        return false;
    for (long cap = 0; prctl(PR_CAPBSET_READ, cap, 0L, 0L, 0L) >= 0; cap++)
        if (cap != CAP_DAC_OVERRIDE) /* what is not in there cannot be inherited */
            (void)prctl(PR_CAPBSET_DROP, cap, 0L, 0L, 0L);
    bool changed = change_user(c->uid, c->gid), done = set_capabilities(own, 0, 0);
    if (!may_open_all(c, site)) {
        keep = open_all;
        done = set_capabilities(own, keep, 0) && done;
        if (!may_open_all(c, site))
            done = set_capabilities(own, own, 0) && change_user(0, 0) && done;
    }
    done = set_capabilities(keep, keep, keep) && done;
    if (keep)
        done = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (long)CAP_DAC_OVERRIDE, 0L, 0L) == 0 && done;
    return changed && done;
}

static void limit(const struct confine *c)
{
    const struct rlimit none = { 0 }, memory = { c->memory_max, c->memory_max };
    struct rlimit had;

    (void)setrlimit(RLIMIT_CORE, &none);
    if (c->memory_max && getrlimit(RLIMIT_AS, &had) == 0 && had.rlim_max > c->memory_max)
        (void)setrlimit(RLIMIT_AS, &memory);
}

unsigned confine_enter(const struct confine *c, const struct confine_site *site)
{
    bool root = geteuid() == 0, own_root = false;
    unsigned lacks = 0;

    if (!c->network && unshare(CLONE_NEWNET) < 0)
        lacks |= CONFINE_NET;
    if (unshare(CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        lacks |= CONFINE_IPC;
    if (!site->all_files)
        own_root = unshare(CLONE_NEWNS) == 0 && confine_root(c, site);
    lacks |= own_root ? 0 : CONFINE_ROOT;
    if (root && !become(c, site))
        lacks |= CONFINE_USER;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 || site->all_files || !confine_landlock(c, site, own_root))
        lacks |= CONFINE_LANDLOCK;
    limit(c); /* last: this process may have more memory than that, and its stack could not grow any more */
    return lacks;
}
