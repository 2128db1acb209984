/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether all files of a component can be replaced (VSS_RME_RESTORE_IF_CAN_REPLACE): none is on a read-only file system, immutable or a
 * mount point, and no process has one open for writing, whose further writes would be lost with the old file. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/num.h"
#include "requester/restore/restore.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FDINFO_MAX ((size_t)64 << 10)
#define COMM_MAX ((size_t)256)

static int cannot_replace(const char *path, const char *why, struct err *err)
{
    return err_set(err, EBUSY, "%s cannot be replaced: %s", path, why);
}

/* NULL: it can be changed. */
static const char *fixed(int fd)
{
    struct statvfs fs;
    struct statx st;

    if (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY)
        return "its file system is read-only";
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 && st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
        return "it, or its folder, is immutable or append-only (chattr)";
    return NULL;
}

/* Of the nearest folder that is there: those below it will be made. */
static const char *folder_fixed(const char *path)
{
    _cleanup_free_ char *at = io_dirname(path);

    while (at && at[0] == '/') {
        _cleanup_close_ int dir = io_open_file(at, O_PATH | O_DIRECTORY, NULL);
        if (dir >= 0 || !at[1])
            return dir >= 0 ? fixed(dir) : NULL;
        char *up = io_dirname(at);
        free(at);
        at = up;
    }
    return NULL;
}

static int check_fixed(const char *path, struct err *err)
{
    _cleanup_close_ int fd = io_open_entry(path, O_PATH, NULL);
    struct statx st;

    const char *why = fd < 0 ? NULL : fixed(fd);
    if (!why && fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0)
        why = st.stx_attributes & STATX_ATTR_MOUNT_ROOT ? "something is mounted there" : S_ISDIR(st.stx_mode) ? "it is a folder" : NULL;
    if (!why)
        why = folder_fixed(path);
    return why ? cannot_replace(path, why, err) : 0;
}

/* ---- In use -----------------------------------------------------------------------------------------------------------------------*/

struct used_file {
    dev_t dev;
    ino_t ino;
    const char *path; /* the index's */
};
struct used {
    struct used_file *files; /* sorted */
    size_t n;
};

static int compare_files(const void *a, const void *b)
{
    const struct used_file *x = a, *y = b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static bool opened_for_writing(const char *pid, const char *fd)
{
    _cleanup_free_ char *path = str_format("/proc/%s/fdinfo/%s", pid, fd);
    _cleanup_buf_ struct buf text = BUF_INIT;

    if (!path || io_read_file(path, FDINFO_MAX, &text, NULL) < 0 || !text.data)
        return false;
    const char *flags = strstr((const char *)text.data, "flags:");
    return flags && (strtoul(flags + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static int tell_user(const char *path, const char *pid, struct err *err)
{
    _cleanup_free_ char *file = str_format("/proc/%s/comm", pid);
    _cleanup_buf_ struct buf comm = BUF_INIT;
    char who[64] = "a process";

    if (file && io_read_file(file, COMM_MAX, &comm, NULL) >= 0 && comm.data && comm.len > 1)
        snprintf(who, sizeof(who), "%.*s", (int)strcspn((const char *)comm.data, "\n"), (const char *)comm.data);
    return err_set(err, EBUSY, "%s cannot be replaced: %s (process %s) has it open for writing", path, who, pid);
}

/* NULL: it is not there. */
static DIR *open_listing(const char *path)
{
    int fd = io_open_file(path, O_RDONLY | O_DIRECTORY, NULL);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

/* -EBUSY: one of the files. */
static int check_process(const struct used *u, const char *pid, struct err *err)
{
    _cleanup_free_ char *folder = str_format("/proc/%s/fd", pid);
    DIR *dir = folder ? open_listing(folder) : NULL; /* it may have ended */
    int rc = 0;

    for (struct dirent *e; dir && rc == 0 && (e = readdir(dir));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
            continue;
        const struct used_file key = { .dev = st.st_dev, .ino = st.st_ino };
        const struct used_file *f = bsearch(&key, u->files, u->n, sizeof(*u->files), compare_files);
        if (f && opened_for_writing(pid, e->d_name))
            rc = tell_user(f->path, pid, err);
    }
    if (dir)
        closedir(dir);
    return rc;
}

/* A lease for reading is refused where it is open for writing, or mapped, by whomever. */
static bool open_for_writing(const char *path)
{
    _cleanup_close_ int fd = io_open_entry(path, O_RDONLY, NULL);

    /* Who opens it for writing just now has us told by a signal: one that is ignored, for SIGIO would end us. */
    if (fd < 0 || fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return false; /* closing it gives the lease back */
    return errno == EAGAIN || errno == EBUSY;
}

/* Who it is, of those that can be looked at. */
static int name_user(const struct used *u, struct err *err)
{
    DIR *dir = u->n ? open_listing("/proc") : NULL;
    int rc = 0;

    for (struct dirent *e; dir && rc == 0 && (e = readdir(dir));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            rc = check_process(u, e->d_name, err);
    if (dir)
        closedir(dir);
    return rc;
}

int restore_can_replace(const json_t *index, bool now, struct err *err)
{
    const json_t *files = json_object_get(index, "files");
    _cleanup_free_ struct used_file *list = calloc(json_array_size(files) + 1, sizeof(*list));
    struct used u = { .files = list };
    size_t i;
    json_t *e;
    int rc = list ? 0 : err_nomem(err);

    json_array_foreach (files, i, e) {
        const char *path = json_get_text(e, "path");
        if (rc < 0 || !strcmp(json_get_text(e, "type"), "folder"))
            continue;
        rc = check_fixed(path, err);
        _cleanup_close_ int fd = rc < 0 || !now ? -1 : io_open_entry(path, O_PATH, NULL);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && open_for_writing(path))
            u.files[u.n++] = (struct used_file){ st.st_dev, st.st_ino, path };
    }
    qsort(u.files, u.n, sizeof(*u.files), compare_files);
    if (rc >= 0 && u.n && (rc = name_user(&u, err)) == 0)
        rc = cannot_replace(u.files[0].path, "it is open for writing", err);
    return rc;
}
