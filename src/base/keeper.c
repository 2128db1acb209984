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

enum kind { KEEP_HOLD = 1, KEEP_ESTABLISHED = 2 };

struct keeper_message {
    uint32_t kind, id;
};

struct keeper {
    int fd;
    pid_t pid;
    uint32_t last_id; /* atomic */
};

int keeper_start(char *const *argv, struct keeper **ret, struct err *err)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
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

/* The message, whole; with the descriptor if it is not -1. */
static int keeper_tell(struct keeper *k, struct keeper_message m, int fd, struct err *err)
{
    struct iovec iov = { .iov_base = &m, .iov_len = sizeof(m) };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        h.msg_control = control.room;
        h.msg_controllen = sizeof(control.room);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    for (;;) {
        if (sendmsg(k->fd, &h, MSG_NOSIGNAL) == (ssize_t)sizeof(m))
            return 0;
        if (errno != EINTR) /* ECONNRESET: it died before it had read what it was told */
            return err_errno(err, errno == ECONNRESET ? EPIPE : errno, "the process that keeps connections to QEMU open has died");
    }
}

/* What is under way in the socket is held too, before the keeper has read it. */
int keeper_hold(struct keeper *k, int fd, uint32_t *ret_id, struct err *err)
{
    if (!k)
        return 0;
    *ret_id = __atomic_add_fetch(&k->last_id, 1, __ATOMIC_RELAXED);
    return keeper_tell(k, (struct keeper_message){ KEEP_HOLD, *ret_id }, fd, err);
}

int keeper_established(struct keeper *k, uint32_t id, struct err *err)
{
    return k ? keeper_tell(k, (struct keeper_message){ KEEP_ESTABLISHED, id }, -1, err) : 0;
}

void keeper_discard(struct keeper *k)
{
    if (k)
        (void)shutdown(k->fd, SHUT_WR); /* as if we were gone */
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

struct keeper_kept {
    struct pollfd *list; /* [0] is the owner, -1 once it is gone */
    struct about {
        uint32_t id;
        bool established;
    } * about; /* of the same places */
    size_t n, cap;
};

/* 1: *ret, and *ret_fd, or -1 where there is none; 0: the owner is gone. */
static int receive(int from, struct keeper_message *ret, int *ret_fd)
{
    struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room) };

    *ret_fd = -1;
    ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR)
        return -EINTR;
    if (n != (ssize_t)sizeof(*ret))
        return 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
    return 1;
}

static int keeper_make_room(struct keeper_kept *k)
{
    size_t cap = k->cap ? 2 * k->cap : 16;
    struct pollfd *list = reallocarray(k->list, cap, sizeof(*list));

    if (list)
        k->list = list;
    struct about *about = reallocarray(k->about, cap, sizeof(*about));
    if (about)
        k->about = about;
    if (!list || !about)
        return -ENOMEM;
    k->cap = cap;
    return 0;
}

static int keeper_add(struct keeper_kept *k, int fd, uint32_t id)
{
    if (k->n == k->cap && keeper_make_room(k) < 0)
        return -ENOMEM;
    /* Of a connection hang-ups alone, which poll() always tells: what the other end sends is the owner's to read. */
    k->list[k->n] = (struct pollfd){ .fd = fd, .events = k->n == 0 || k->list[0].fd < 0 ? POLLIN : 0 };
    k->about[k->n++] = (struct about){ .id = id };
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

static void drop_closed(struct keeper_kept *k)
{
    for (size_t i = 1; i < k->n;) {
        bool closed = k->list[i].revents & (POLLHUP | POLLERR | POLLNVAL);
        if (!closed && (k->list[0].fd >= 0 || discard(&k->list[i]))) {
            i++;
            continue;
        }
        close(k->list[i].fd);
        k->list[i] = k->list[--k->n];
        k->about[i] = k->about[k->n];
    }
}

/* NBD: the magic of an option, NBD_OPT_ABORT, no data. A server in the middle of its greeting, which would wait for ever, ends it by
 * that. To one whose answer to the last option was under way it is the beginning of a request that never comes whole. */
static void give_up_greeting(int fd)
{
    static const unsigned char abort_option[16] = { 'I', 'H', 'A', 'V', 'E', 'O', 'P', 'T', 0, 0, 0, 2, 0, 0, 0, 0 };

    (void)send(fd, abort_option, sizeof(abort_option), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void owner_is_gone(struct keeper_kept *k)
{
    k->list[0].fd = -1; /* poll() passes over it */
    for (size_t i = 1; i < k->n; i++) {
        k->list[i].events = POLLIN;
        if (!k->about[i].established)
            give_up_greeting(k->list[i].fd);
    }
}

/* Takes what the owner sends. One that cannot be entered is held all the same, to the end of this process. */
static void hear_owner(struct keeper_kept *k)
{
    struct keeper_message m;
    int fd;

    if (!k->list[0].revents)
        return;
    int r = receive(k->list[0].fd, &m, &fd);
    if (r == 0)
        owner_is_gone(k);
    if (r != 1)
        return;
    if (m.kind == KEEP_HOLD && fd >= 0)
        (void)keeper_add(k, fd, m.id);
    for (size_t i = 1; m.kind == KEEP_ESTABLISHED && i < k->n; i++)
        k->about[i].established |= k->about[i].id == m.id;
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
    struct keeper_kept k = { 0 };

    outlive();
    if (keeper_add(&k, fd, 0) < 0)
        return err_nomem(err);
    while (k.list[0].fd >= 0 || k.n > 1) {
        if (poll(k.list, k.n, -1) < 0)
            continue;
        drop_closed(&k);
        hear_owner(&k);
    }
    free(k.list);
    free(k.about);
    return 0;
}
