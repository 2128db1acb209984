/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files a confined program can reach by path: a root folder of its own, and Landlock. */
#include "base/cleanup.h"
#include "base/confine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where it is put up: a folder that every host has and nobody's programs lie in. Only the child sees it there. */
#define SCAFFOLD "/sys"
#define DESCRIPTORS "/proc/self/fd"
#define NULL_DEVICE "/dev/null"
#define NO_TYPE "none"

/* ---- A root folder of its own -----------------------------------------------------------------------------------------------------*/

/* path below SCAFFOLD, with the folders on the way to it. */
static bool root_make_way(const char *path, char to[PATH_MAX])
{
    size_t len = strlen(path);

    if (len + sizeof(SCAFFOLD) > PATH_MAX)
        return false;
    memcpy(to, SCAFFOLD, sizeof(SCAFFOLD) - 1);
    memcpy(to + sizeof(SCAFFOLD) - 1, path, len + 1);
    for (char *slash = to + sizeof(SCAFFOLD); (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        bool made = mkdir(to, 0755) == 0 || errno == EEXIST;
        if (!made)
            return false;
    }
    return true;
}

/* The same file or folder, to be read only; what is mounted below it is not there. flags: further ones. What does not exist is left out. */
static bool root_show(const char *path, unsigned long flags)
{
    char to[PATH_MAX], target[PATH_MAX];
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR;
    if (!root_make_way(path, to))
        return false;
    ssize_t len = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof(target) - 1) : -1;
    if (len > 0 && strncmp(path, "/etc/", 5) != 0 && strcmp(path, DESCRIPTORS) != 0) { /* "/bin" is mostly a link to "usr/bin" */
        target[len] = '\0';
        return symlink(target, to) == 0 || errno == EEXIST;
    }
    if (stat(path, &st) < 0)
        return true;
    bool made = S_ISDIR(st.st_mode) ? mkdir(to, 0755) == 0 : mknod(to, S_IFREG | 0644, 0) == 0;
    return (made || errno == EEXIST) && mount(path, to, NO_TYPE, MS_BIND, NULL) == 0 &&
           mount(NO_TYPE, to, NO_TYPE, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | flags, NULL) == 0;
}

static bool show_all(const char *const *paths)
{
    for (; paths && *paths; paths++)
        if (!root_show(*paths, MS_NODEV))
            return false;
    return true;
}

static bool furnish(const struct confine *c, const struct confine_site *site)
{
    return show_all(confine_system) && (!c->network || show_all(confine_names)) && show_all(c->reach) &&
           show_all((const char *const *)site->folders) && root_show(DESCRIPTORS, MS_NODEV | MS_NOEXEC) &&
           root_show(NULL_DEVICE, MS_NOEXEC) &&
           mount(NO_TYPE, SCAFFOLD, NO_TYPE, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

bool confine_root(const struct confine *c, const struct confine_site *site)
{
    if (mount(NO_TYPE, "/", NO_TYPE, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("kvss", SCAFFOLD, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") < 0)
        return false;
    /* The old root comes to lie on the new one, and goes. */
    if (furnish(c, site) && chdir(SCAFFOLD) == 0 && syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) == 0 && chdir("/") == 0)
            return true;
        _exit(127); /* neither here nor there */
    }
    int scaffold = umount2(SCAFFOLD, MNT_DETACH);
    (void)scaffold;
    (void)!chdir("/");
    return false;
}

/* ---- Landlock ---------------------------------------------------------------------------------------------------------------------*/

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define TRUNCATE ((uint64_t)1 << 14) /* LANDLOCK_ACCESS_FS_TRUNCATE, of version 3 */
#define FILE_ONLY (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | TRUNCATE)

/* All that this version of it can forbid about files, up to version 3. */
static uint64_t handled(long version)
{
    uint64_t first = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

    return first | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (version >= 3 ? TRUNCATE : 0);
}

static void allow_open(int rules, int fd, uint64_t what)
{
    struct landlock_path_beneath_attr rule = { .allowed_access = what, .parent_fd = fd };
    struct stat st;

    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= FILE_ONLY;
    /* Sockets and pipes need none, and get none. */
    (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void allow(int rules, const char *path, uint64_t what)
{
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return;
    allow_open(rules, fd, what);
    close(fd);
}

bool confine_landlock(const struct confine *c, const struct confine_site *site, bool own_root)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const struct landlock_ruleset_attr attr = { .handled_access_fs = handled(version) };
    int rules = version < 1 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    const uint64_t write = (LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE) & attr.handled_access_fs;

    if (rules < 0)
        return false;
    for (const char *const *p = confine_system; *p; p++)
        allow(rules, *p, READ);
    for (const char *const *p = confine_names; c->network && *p; p++)
        allow(rules, *p, READ);
    for (const char *const *p = c->reach; p && *p; p++)
        allow(rules, *p, READ);
    /* A program that an administrator put there may have pipes beside it; in a root folder of its own, files cannot be written. */
    for (char *const *p = site->folders; *p; p++)
        allow(rules, *p, own_root ? READ | LANDLOCK_ACCESS_FS_WRITE_FILE : READ);
    allow(rules, NULL_DEVICE, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
    allow(rules, DESCRIPTORS, LANDLOCK_ACCESS_FS_READ_DIR);
    for (size_t i = 0; i < site->n_fds; i++)
        allow_open(rules, 3 + (int)i, LANDLOCK_ACCESS_FS_READ_FILE | (c->write ? write : 0));
    bool done = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return done;
}
