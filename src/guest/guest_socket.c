/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The session's socket: a stream for each request, one JSON object each way, either ended by the end of the stream. The folder is the
 * user's alone, so whoever reaches the socket may use it. */
#include "base/clock.h"
#include "base/io.h"
#include "guest/guest.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define LOCK_NAME "lock"
#define SOCKET_NAME "session"
#define BACKLOG 16

static int socket_address(const struct guest *g, struct sockaddr_un *ret, struct err *err)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/" SOCKET_NAME, g->run_dir);
    return n > 0 && (size_t)n < sizeof(ret->sun_path) ? 0 : err_set(err, ENAMETOOLONG, "the path %s is too long", g->run_dir);
}

/* What is in a folder that others may write to would not be ours. */
static int check_run_dir(const struct guest *g, struct err *err)
{
    struct stat st;

    if (lstat(g->run_dir, &st) < 0)
        return err_errno(err, errno, "cannot access %s", g->run_dir);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return err_set(err, EPERM, "%s is not a folder that only this user can write to", g->run_dir);
    return 0;
}

int guest_session_lock(const struct guest *g, int *ret_lock, struct err *err)
{
    _cleanup_free_ char *path = io_path(g->run_dir, LOCK_NAME);
    int r = path ? io_mkdir_p(g->run_dir, 0700, err) : err_nomem(err);

    if (r >= 0)
        r = check_run_dir(g, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, errno, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(err, EBUSY, "another backup of this guest is in progress")
                                    : err_errno(err, errno, "cannot lock %s", path);
    *ret_lock = TAKE_FD(fd);
    return 0;
}

int guest_socket_listen(const struct guest *g, int *ret_fd, struct err *err)
{
    struct sockaddr_un a;

    int r = socket_address(g, &a, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, errno, "cannot create a socket");
    (void)unlink(a.sun_path); /* an earlier session's: the lock is ours */
    if (bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(err, errno, "cannot listen on %s", a.sun_path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int set_limit(int fd, unsigned ms)
{
    const struct timeval t = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) < 0)
        return -errno;
    return 0;
}

static int socket_connect(const struct guest *g, unsigned timeout_ms, int *ret, struct err *err)
{
    struct sockaddr_un a;

    int r = socket_address(g, &a, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (r = set_limit(fd, timeout_ms)) < 0)
        return err_errno(err, fd < 0 ? errno : -r, "cannot create a socket");
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
        return errno == ENOENT || errno == ECONNREFUSED ? err_set(err, ENOENT, "no backup of this guest is in progress")
                                                        : err_errno(err, errno, "cannot reach the session at %s", a.sun_path);
    *ret = TAKE_FD(fd);
    return 0;
}

int guest_socket_take(int fd, json_t **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = set_limit(fd, 5000);

    if (r < 0)
        return err_errno(err, -r, "cannot read a request");
    r = guest_read_all(fd, GUEST_IN_MAX, &b, err);
    return r < 0 ? r : json_parse_object(b.data ? (const char *)b.data : "", b.len, "request", ret, err);
}

int guest_socket_ask(const struct guest *g, const json_t *request, unsigned timeout_ms, json_t **ret_answer, struct err *err)
{
    _cleanup_close_ int fd = -1;

    int r = socket_connect(g, timeout_ms, &fd, err);
    if (r < 0)
        return r;
    r = guest_write_answer(fd, request);
    if (r < 0 || shutdown(fd, SHUT_WR) < 0)
        return err_errno(err, r < 0 ? -r : errno, "cannot ask the session");
    return guest_read_answer(fd, ret_answer, err);
}
