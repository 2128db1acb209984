/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key that this host signs with: a file that only this user can read, made when it is first needed. It is shown to nobody; the public
 * key is in each entry that it signs. */
#include "base/guid.h"
#include "base/io.h"
#include "base/io_at.h"
#include "requester/repository/known.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define NAME "host.key"
#define TITLE "kvss host key 1\nprivate="
#define TEXT_LEN (sizeof(TITLE) - 1 + STORE_HOST_SECRET_LEN + 1)

void host_name(const struct requester *rq, char ret[static STORE_HOST_NAME_MAX + 1])
{
    char name[HOST_NAME_MAX + 1] = "";

    (void)gethostname(name, sizeof(name) - 1);
    if (rq->config.host_name)
        snprintf(ret, STORE_HOST_NAME_MAX + 1, "%s", rq->config.host_name);
    else if (geteuid() == 0)
        snprintf(ret, STORE_HOST_NAME_MAX + 1, "%s", *name ? name : "?");
    else
        snprintf(ret, STORE_HOST_NAME_MAX + 1, "uid%u@%s", (unsigned)geteuid(), name);
}

/* Nobody else may have a hand in it. */
static int host_key_open_folder(const struct known *k, int *ret, struct err *err)
{
    _cleanup_free_ char *path = io_dirname(k->dir);
    _cleanup_close_ int dir = -1;
    struct stat st;

    int r = path ? io_open_folder(path, &dir, err) : err_nomem(err);
    if (r < 0)
        return r;
    if (fstat(dir, &st) < 0)
        return err_errno(err, errno, "cannot access %s", path);
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(err, EPERM, "%s is not owned by the user running kvss, or others can write to it", path);
    *ret = TAKE_FD(dir);
    return 0;
}

static int host_key_parse(const char *text, struct store_host_key **ret, struct err *err)
{
    char secret[STORE_HOST_SECRET_LEN + 1];

    if (memcmp(text, TITLE, sizeof(TITLE) - 1) != 0 || text[TEXT_LEN - 1] != '\n')
        return err_set(err, EINVAL, "it is damaged");
    memcpy(secret, text + sizeof(TITLE) - 1, STORE_HOST_SECRET_LEN);
    secret[STORE_HOST_SECRET_LEN] = '\0';
    int r = store_host_key_new(secret, ret, err);
    explicit_bzero(secret, sizeof(secret));
    return r;
}

/* 1: there is none. */
static int host_key_read_key(int dir, struct store_host_key **ret, struct err *err)
{
    _cleanup_close_ int fd = openat(dir, NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    char text[TEXT_LEN];
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 1 : err_errno(err, errno, "cannot open it");
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot access it");
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return err_set(err, EPERM, "it is not a file that only the user running kvss can read");
    if (st.st_size != (off_t)sizeof(text))
        return err_set(err, EINVAL, "it is damaged");
    int r = io_read(fd, text, sizeof(text));
    r = r < 0 ? err_errno(err, -r, "cannot read it") : host_key_parse(text, ret, err);
    explicit_bzero(text, sizeof(text));
    return r;
}

static int write_new(int dir, const char *name, struct err *err)
{
    _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    char text[TEXT_LEN + 1] = TITLE;

    if (fd < 0)
        return err_errno(err, errno, "cannot create it");
    int r = store_host_secret(text + sizeof(TITLE) - 1, err);
    if (r < 0)
        return r;
    text[TEXT_LEN - 1] = '\n';
    r = io_write(fd, text, TEXT_LEN);
    if (r >= 0 && fsync(fd) < 0)
        r = -errno;
    explicit_bzero(text, sizeof(text));
    return r < 0 ? err_errno(err, -r, "cannot write it") : 0;
}

/* It is there with all that is in it, or not at all; and if two make one at the same time, the first counts. */
static int make_key(int dir, struct err *err)
{
    struct guid unique = guid_new();
    char name[GUID_LEN + sizeof(NAME) + 2];

    snprintf(name, sizeof(name), NAME ".%s", unique.text);
    int r = write_new(dir, name, err);
    if (r >= 0 && linkat(dir, name, dir, NAME, 0) < 0 && errno != EEXIST && renameat2(dir, name, dir, NAME, RENAME_NOREPLACE) < 0 &&
        errno != EEXIST)
        r = err_errno(err, errno, "cannot create it");
    unlinkat(dir, name, 0);
    if (r >= 0 && (r = io_fsync_at(dir)) < 0)
        r = err_errno(err, -r, "cannot sync it to disk");
    return r;
}

int host_key_load(const struct known *k, bool make, struct store_host_key **ret, struct err *err)
{
    _cleanup_close_ int dir = -1;
    struct err why = ERR_INIT;

    int r = host_key_open_folder(k, &dir, &why);
    if (r >= 0)
        r = host_key_read_key(dir, ret, &why);
    if (r == 1 && make && (r = make_key(dir, &why)) >= 0)
        r = host_key_read_key(dir, ret, &why);
    return r < 0 ? err_set(err, why.code, "the key of this host, " NAME " in the folder above %s: %s", k->dir, why.text) : r;
}
