/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A shared object in a process of its own. Each call is a socket that is handed to that process: the request, the end, the answer, the end.
 * Calls of several threads are under way at once. */
#include "base/clock.h"
#include "base/proc.h"
#include "providers/external/external_internal.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define END_GRACE_MS 2000u
#define DEATH_WAIT_MS 1000u

/* With the lock held. */
static int object_start(struct external *x, struct err *err)
{
    int fds[2];

    if (x->host)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(err, errno, "cannot start its process");
    _cleanup_close_ int ours = fds[0];
    _cleanup_close_ int theirs = fds[1];
    const int pass[] = { x->file, theirs };
    const struct proc_pass with = { .fds = pass, .n = ARRAY_SIZE(pass) };
    int r = proc_start_with(PROC_ARGV("/proc/self/exe", "provider-host", x->path), NULL, NULL, &with, &x->host, err);
    if (r < 0)
        return r;
    x->calls = TAKE_FD(ours);
    return 0;
}

/* With the lock held. *ret_status: how it ended, if it has within a moment; -1: it was ended here. */
static void object_stop(struct external *x, unsigned wait_ms, int *ret_status)
{
    uint64_t end = clock_mono_ms() + wait_ms;

    *ret_status = -1;
    if (!x->host)
        return;
    cleanup_close_p(&x->calls);
    x->calls = -1;
    while (proc_alive(x->host, ret_status) > 0 && clock_mono_ms() < end)
        clock_sleep_ms(5);
    proc_stop(TAKE_PTR(x->host), 0);
}

void external_object_end(struct external *x)
{
    int status;

    SCOPED_LOCK(&x->lock);
    object_stop(x, END_GRACE_MS, &status);
}

static int object_hand_over(int calls, int fd)
{
    char byte = 'c';
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    while (sendmsg(calls, &h, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* A socket on which the call is made. */
static int object_connect(struct external *x, int *ret, struct err *err)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(err, errno, "cannot call it");
    _cleanup_close_ int ours = fds[0];
    _cleanup_close_ int theirs = fds[1];
    SCOPED_LOCK(&x->lock);
    int r = object_start(x, err);
    if (r < 0)
        return r;
    if ((r = object_hand_over(x->calls, theirs)) < 0 && r != -EPIPE && r != -ECONNRESET) /* if it is dead, that is found out below */
        return err_errno(err, -r, "cannot call it");
    *ret = TAKE_FD(ours);
    return 0;
}

/* Until the end of the stream. */
static int object_exchange(int fd, const char *request, uint64_t until_ms, struct buf *answer, struct err *err)
{
    size_t left = strlen(request);

    for (;;) {
        struct pollfd p = { .fd = fd, .events = (short)(left ? POLLIN | POLLOUT : POLLIN) };
        uint64_t now = clock_mono_ms();
        char piece[4096];
        if (now >= until_ms)
            return err_set(err, ETIMEDOUT, "it has not answered in time");
        if (poll(&p, 1, (int)(until_ms - now)) <= 0)
            continue;
        if (left && (p.revents & POLLOUT)) {
            ssize_t n = send(fd, request, left, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                return 0; /* it died: there is no answer */
            request += n > 0 ? n : 0;
            left -= n > 0 ? (size_t)n : 0;
            if (!left)
                (void)shutdown(fd, SHUT_WR);
            continue;
        }
        ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return 0;
        if (answer->len + (size_t)n > EXTERNAL_ANSWER_MAX)
            return err_set(err, EMSGSIZE, "its answer is too long");
        if (buf_add(answer, piece, (size_t)n) < 0)
            return err_nomem(err);
    }
}

static int object_died(struct external *x, const char *word, struct err *err)
{
    int status;

    SCOPED_LOCK(&x->lock);
    if (x->host) /* else another call has found out first */
        object_stop(x, DEATH_WAIT_MS, &x->ended);
    status = x->ended;
    if (status > 128)
        return err_set(err, EIO, "%s: it crashed: %s (%s)", word, strsignal(status - 128), x->path);
    if (status >= 0)
        return err_set(err, EIO, "%s: its process ended with exit status %d (%s)", word, status, x->path);
    return err_set(err, EIO, "%s: its process gave no answer (%s)", word, x->path);
}

/* { "answer": OBJECT } or { "code", "hresult", "text" }, of external_host.c. */
static int object_parse(const char *word, const struct buf *answer, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *j = NULL;
    const char *text = NULL;
    json_int_t code = EIO, hresult = 0;
    json_error_t e;

    int r = json_parse_object((const char *)answer->data, answer->len, "its answer", &j, err);
    if (r < 0)
        return err_context(err, "%s", word);
    if (json_is_object(json_object_get(j, "answer"))) {
        *ret = json_incref(json_object_get(j, "answer"));
        return 0;
    }
    if (json_unpack_ex(j, &e, 0, "{s:I, s:I, s:s}", "code", &code, "hresult", &hresult, "text", &text) < 0 || code <= 0 || code > 4095)
        return err_set(err, EBADMSG, "%s: its answer has neither a result nor an error", word);
    return err_vss(err, (uint32_t)hresult, (int)code, "%s: %s", word, *text ? text : "it failed without giving a reason");
}

int external_object_call(struct external *x, const char *word, json_t *input, unsigned timeout_ms, json_t **ret, struct err *err)
{
    uint64_t until = clock_mono_ms() + timeout_ms;
    _cleanup_free_ char *request = json_dumps(input, JSON_COMPACT);
    _cleanup_buf_ struct buf answer = BUF_INIT;
    _cleanup_close_ int fd = -1;

    int r = request ? object_connect(x, &fd, err) : err_nomem(err);
    if (r < 0)
        return r;
    r = object_exchange(fd, request, until, &answer, err);
    if (r < 0) {
        int status;
        SCOPED_LOCK(&x->lock);
        object_stop(x, 0, &status); /* it hangs, or says what it will: it says no more */
        return err_context(err, "%s (%s)", word, x->path);
    }
    if (!answer.len)
        return object_died(x, word, err);
    return object_parse(word, &answer, ret, err);
}
