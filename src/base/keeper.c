/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/keeper.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/proc_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define END_WAIT_MS 3000u

/* ---- The owner's end ------------------------------------------------------------------------------------------------------*/

struct keeper {
    int fd;
    pid_t pid;
};

int keeper_start(char *const *argv, struct keeper **ret, struct err *err)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(err, errno, "cannot start %s", argv[0]);
    _cleanup_close_ int ours = fds[0];
    _cleanup_close_ int theirs = fds[1];
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    _cleanup_free_ struct keeper *k = calloc(1, sizeof(*k));

    if (null < 0 || !k)
        return err_errno(err, k ? errno : ENOMEM, "cannot start %s", argv[0]);
    /* from its first moment: what comes before it has set itself up must not end it either */
    const struct proc_spawn s = { .argv = argv, .in = theirs, .out = null, .err = null, .outlives_endings = true };
    int r = proc_spawn(&s, &k->pid, err);
    if (r < 0)
        return r;
    k->fd = TAKE_FD(ours);
    *ret = TAKE_PTR(k);
    return 0;
}

pid_t keeper_pid(const struct keeper *k)
{
    return k->pid;
}

/* One byte carries one descriptor. What is under way in the socket is held too, before the keeper has read it. */
int keeper_hold(struct keeper *k, int fd, struct err *err)
{
    char byte = 0;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room) };

    if (!k)
        return 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    for (;;) {
        if (sendmsg(k->fd, &m, MSG_NOSIGNAL) == 1)
            return 0;
        if (errno != EINTR)
            return err_errno(err, errno, "the process that keeps connections to QEMU open is gone");
    }
}

void keeper_free(struct keeper *k)
{
    uint64_t end = clock_mono_ms() + END_WAIT_MS;

    if (!k)
        return;
    close(k->fd);
    while (waitpid(k->pid, NULL, WNOHANG) == 0 && clock_mono_ms() < end)
        clock_sleep_ms(2);
    free(k);
}

/* ---- The keeper's end -----------------------------------------------------------------------------------------------------*/

struct kept {
    struct pollfd *list; /* [0] is the owner, -1 once it is gone */
    size_t n, cap;
};

/* 1: a connection; 0: the owner is gone. */
static int receive(int from, int *ret)
{
    char byte;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room) };

    ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR)
        return -EINTR;
    struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
        return 0;
    memcpy(ret, CMSG_DATA(c), sizeof(*ret));
    return 1;
}

static int add(struct kept *k, int fd)
{
    if (k->n == k->cap) {
        size_t cap = k->cap ? 2 * k->cap : 16;
        struct pollfd *more = reallocarray(k->list, cap, sizeof(*more));
        if (!more)
            return -ENOMEM;
        k->list = more;
        k->cap = cap;
    }
    /* Of a connection hang-ups alone, which poll() always tells: what the other end sends is the owner's to read. */
    k->list[k->n] = (struct pollfd){ .fd = fd, .events = k->n == 0 || k->list[0].fd < 0 ? POLLIN : 0 };
    k->n++;
    return 0;
}

/* The owner is gone: what QEMU still sends is for nobody. Left unread it would keep QEMU from ending the job. False: closed. */
static bool discard(struct pollfd *p)
{
    char bytes[65536];

    if (!(p->revents & POLLIN))
        return true;
    ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void drop_closed(struct kept *k)
{
    for (size_t i = 1; i < k->n;) {
        bool closed = k->list[i].revents & (POLLHUP | POLLERR | POLLNVAL);
        if (!closed && (k->list[0].fd >= 0 || discard(&k->list[i]))) {
            i++;
            continue;
        }
        close(k->list[i].fd);
        k->list[i] = k->list[--k->n];
    }
}

/* Takes what the owner sends. One that cannot be entered is held all the same, to the end of this process. */
static void hear_owner(struct kept *k)
{
    int fd = -1;

    if (!k->list[0].revents)
        return;
    int r = receive(k->list[0].fd, &fd);
    if (r == 0) {
        k->list[0].fd = -1; /* poll() passes over it */
        for (size_t i = 1; i < k->n; i++)
            k->list[i].events = POLLIN;
    } else if (r == 1) {
        (void)add(k, fd);
    }
}

/* Whoever ends a whole session by a signal, or the kernel for want of memory, must not end this one before the job is over. */
static void outlive(void)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };
    _cleanup_close_ int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &ignore, NULL);
    (void)prctl(PR_SET_NAME, "kvss-keeper"); /* nor whoever kills kvss by its name */
    if (score >= 0)
        (void)io_write(score, "-1000", 5); /* as far as this user may */
}

int keeper_run(int fd, struct err *err)
{
    struct kept k = { 0 };

    outlive();
    if (add(&k, fd) < 0)
        return err_set(err, ENOMEM, "out of memory");
    while (k.list[0].fd >= 0 || k.n > 1) {
        if (poll(k.list, k.n, -1) < 0)
            continue;
        drop_closed(&k);
        hear_owner(&k);
    }
    free(k.list);
    return 0;
}
