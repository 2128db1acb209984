/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/proc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/proc_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define ERR_TAIL_MAX 4096
#define LOOK_AT_CANCEL_MS 100

/* One run while it lasts. */
struct run {
    const struct proc_run *ask;
    pid_t pid;
    int pidfd, out, err; /* out, err: our ends, non-blocking; -1 once they have ended or where they are dropped */
    struct buf stdout_text, stderr_tail;
    uint64_t deadline_ms;
};

static void run_done(struct run *r)
{
    cleanup_close_p(&r->pidfd);
    cleanup_close_p(&r->out);
    cleanup_close_p(&r->err);
    buf_free(&r->stdout_text);
    buf_free(&r->stderr_tail);
}

/* The bytes for stdin as a nameless file: no pipe that could fill up or break while we wait for something else. */
static int open_stdin(const struct proc_run *ask)
{
    if (!ask->in)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int fd = memfd_create("kvss-stdin", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    int r = io_write(fd, ask->in, ask->in_len);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    return lseek(fd, 0, SEEK_SET) < 0 ? -1 : TAKE_FD(fd);
}

/* A pipe whose reading end (*ret_ours) does not block; or /dev/null and -1. Returns the child's end, -1 with errno. */
static int open_sink(bool wanted, int *ret_ours)
{
    int fds[2];

    *ret_ours = -1;
    if (!wanted)
        return open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    *ret_ours = fds[0];
    return fds[1];
}

static const char *run_name(const struct proc_run *run)
{
    return run->name ? run->name : run->argv[0];
}

static int proc_run_start(struct run *r, bool want_out, bool want_err, struct err *err)
{
    _cleanup_close_ int in = open_stdin(r->ask);
    _cleanup_close_ int out = in < 0 ? -1 : open_sink(want_out, &r->out);
    _cleanup_close_ int errs = out < 0 ? -1 : open_sink(want_err, &r->err);

    if (errs < 0)
        return err_errno(err, errno, "cannot start %s", run_name(r->ask));
    const struct proc_spawn s = { .argv = r->ask->argv,
                                  .name = r->ask->name,
                                  .env = r->ask->env,
                                  .in = in,
                                  .out = out,
                                  .err = errs,
                                  .die_with_thread = r->ask->die_with_us,
                                  .pass = r->ask->pass,
                                  .n_pass = r->ask->n_pass,
                                  .confine = r->ask->confine };
    int rc = proc_spawn(&s, &r->pid, err);
    if (rc < 0)
        return rc;
    r->pidfd = pidfd_open(r->pid, 0);
    return 0;
}

static int keep_tail(struct buf *tail, const char *p, size_t n)
{
    int r = buf_add(tail, p, n);

    if (r < 0 || tail->len <= ERR_TAIL_MAX)
        return r;
    memmove(tail->data, tail->data + tail->len - ERR_TAIL_MAX, ERR_TAIL_MAX + 1);
    tail->len = ERR_TAIL_MAX;
    return 0;
}

/* Takes what is there now. 0, also at the end (then *fd is closed); -EMSGSIZE, -ENOMEM. Bounded, so that who writes without end
 * does not keep us from seeing the deadline; the bound is more than a pipe holds (fs.pipe-max-size). */
static int drain(struct run *r, int *fd)
{
    char piece[16384];

    for (int i = 0; *fd >= 0 && i < 128; i++) {
        ssize_t got = read(*fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0) {
            close(TAKE_FD(*fd));
            return 0;
        }
        int rc = 0;
        if (fd == &r->err)
            rc = keep_tail(&r->stderr_tail, piece, (size_t)got);
        else if ((size_t)got > r->ask->out_max - r->stdout_text.len)
            rc = -EMSGSIZE;
        else
            rc = buf_add(&r->stdout_text, piece, (size_t)got);
        explicit_bzero(piece, (size_t)got); /* it may be a passphrase */
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* 1: ended (then reaped, *ret_status set), 0: runs, -errno. */
static int reap(struct run *r, bool block, int *ret_status)
{
    siginfo_t info = { 0 };

    while (waitid(P_PID, (id_t)r->pid, &info, WEXITED | (block ? 0 : WNOHANG)) < 0)
        if (errno != EINTR)
            return -errno;
    if (info.si_pid == 0)
        return 0;
    *ret_status = proc_status(info.si_code, info.si_status);
    return 1;
}

/* Milliseconds for poll(): -1 no deadline, 0 it has passed. */
static int proc_run_time_left(const struct run *r)
{
    uint64_t now = clock_mono_ms();

    if (r->deadline_ms == 0)
        return -1;
    return now >= r->deadline_ms ? 0 : (int)num_min(r->deadline_ms - now, INT_MAX);
}

/* Follows the child to its end. A child that closed its output may run on, and one that ended may have left its output to a
 * process in the background: only its own end counts. */
static int proc_run_follow(struct run *r, int *ret_status)
{
    for (;;) {
        int left = proc_run_time_left(r);
        if (left == 0)
            return -ETIMEDOUT;
        if (par_cancelled(r->ask->cancel))
            return -EINTR;
        if (r->ask->cancel && (left < 0 || left > LOOK_AT_CANCEL_MS))
            left = LOOK_AT_CANCEL_MS;
        struct pollfd fds[] = { { r->pidfd, POLLIN, 0 }, { r->out, POLLIN, 0 }, { r->err, POLLIN, 0 } };
        if (r->pidfd < 0 && (left < 0 || left > 20))
            left = 20; /* no pidfd from this kernel: look again and again */
        if (poll(fds, ARRAY_SIZE(fds), left) < 0 && errno != EINTR)
            return -errno;
        int ended = reap(r, false, ret_status); /* before draining: all that it wrote is then in the pipes */
        int rc = drain(r, &r->out);
        if (rc == 0)
            rc = drain(r, &r->err);
        if (ended == 1)
            r->pid = 0;
        if (ended != 0 || rc < 0)
            return ended < 0 ? ended : rc;
    }
}

static int failure(struct run *r, int rc, struct err *err)
{
    int status;

    if (r->pid > 0) {
        kill(-r->pid, SIGKILL);
        reap(r, true, &status);
        (void)drain(r, &r->err);
    }
    const char *name = run_name(r->ask);
    if (rc == -ETIMEDOUT)
        return err_set(err, ETIMEDOUT, "%s was stopped: it took longer than %u ms", name, r->ask->timeout_ms);
    if (rc == -EINTR)
        return err_set(err, EINTR, "interrupted");
    if (rc == -EMSGSIZE)
        return err_set(err, EMSGSIZE, "%s was stopped: its output exceeded %zu bytes", name, r->ask->out_max);
    return err_errno(err, -rc, "cannot wait for %s to end", name);
}

static void hand_over(struct buf *to, struct buf *from)
{
    if (!to)
        return;
    buf_free(to);
    *to = *from;
    *from = (struct buf)BUF_INIT;
}

int proc_run(const struct proc_run *run, struct buf *out, struct buf *err_tail, int *ret_status, struct err *err)
{
    _cleanup_(run_done) struct run r = { .ask = run, .pidfd = -1, .out = -1, .err = -1 };
    int status = 0;

    /* So that an empty output is an empty text. */
    if (buf_reserve(&r.stdout_text, 0) < 0 || buf_reserve(&r.stderr_tail, 0) < 0)
        return err_nomem(err);
    int rc = proc_run_start(&r, run->out_max > 0, err_tail != NULL, err);
    if (rc < 0)
        return rc;
    if (run->timeout_ms)
        r.deadline_ms = clock_mono_ms() + run->timeout_ms;
    rc = proc_run_follow(&r, &status);
    if (rc < 0)
        rc = failure(&r, rc, err);
    hand_over(err_tail, &r.stderr_tail);
    if (rc < 0)
        return rc;
    hand_over(out, &r.stdout_text);
    *ret_status = status;
    return 0;
}
