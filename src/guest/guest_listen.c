/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's commands over a virtio port of our own, for guests whose agent may not start programs. One line of JSON each way:
 *
 *   { "id": TEXT, "command": "begin", "request": { ... } or absent }     ->     { "id": TEXT, "answer": { ... } }
 *
 * Each is carried out as if the agent had started it, by a child, one after the other. A host that died leaves half a line: so a new one
 * begins with an empty line. While no host has the port open there is nothing to be read, and the kernel says so at once. */
#include "base/clock.h"
#include "base/io.h"
#include "guest/guest.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#define PORT "org.kvss.guest.0"
#define PORTS "/sys/class/virtio-ports"
#define NO_HOST_MS 200u

/* "/dev/vport2p3"; NULL: the VM has no such port. Caller frees. */
static char *find_port(void)
{
    _cleanup_closedir_ DIR *d = opendir(PORTS);

    for (struct dirent *e; d && (e = readdir(d));) {
        _cleanup_free_ char *path = str_format(PORTS "/%s/name", e->d_name);
        _cleanup_buf_ struct buf b = BUF_INIT;
        if (e->d_name[0] != '.' && path && io_read_file(path, 256, &b, NULL) >= 0 && !strcmp((const char *)b.data, PORT "\n"))
            return str_format("/dev/%s", e->d_name);
    }
    return NULL;
}

/* ---- One request ----------------------------------------------------------------------------------------------------------*/

/* In the child: what it does, the session for example, must not have the port open. */
static int child_answer(const struct guest *g, const json_t *message, int out)
{
    struct guest mine = *g;
    guest_command_fn *run = guest_command_for_host(json_get_text(message, "command"));
    _cleanup_json_ json_t *answer = NULL;
    struct err err = ERR_INIT;

    mine.input = json_object_get(message, "request");
    if (!run || (mine.input && !json_is_object(mine.input)))
        err_set(&err, EINVAL, "unknown request");
    else
        (void)run(&mine, &answer, &err);
    if (!answer)
        answer = guest_error_answer(&err);
    return guest_write_answer(out, answer) < 0;
}

static json_t *ask_child(const struct guest *g, const json_t *message, int port)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_close_ int in = -1;
    json_t *answer = NULL;
    struct err err = ERR_INIT;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return NULL;
    in = fds[0];
    pid_t pid = fork();
    if (pid == 0) {
        close(port);
        close(in);
        _exit(child_answer(g, message, fds[1]));
    }
    close(fds[1]);
    if (pid < 0)
        return NULL;
    if (guest_read_all(in, GUEST_OUT_MAX, &b, &err) >= 0)
        (void)json_parse_object(b.data ? (const char *)b.data : "", b.len, "answer", &answer, &err);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return answer ? answer : guest_error_answer(&err);
}

/* What is no request is not answered: nobody could tell what to. */
static int listen_line(const struct guest *g, const char *line, size_t n, int port)
{
    _cleanup_json_ json_t *message = NULL, *reply = NULL;
    const char *id;

    if (n == 0 || json_parse_object(line, n, "request", &message, NULL) < 0 || !(id = json_get_text(message, "id")))
        return 0;
    reply = json_pack("{s:s, s:o}", "id", id, "answer", ask_child(g, message, port));
    return guest_write_answer(port, reply);
}

/* ---- The port -------------------------------------------------------------------------------------------------------------*/

/* All whole lines; what is longer than a request may be is dropped up to its end. */
static void take_lines(const struct guest *g, struct buf *b, bool *dropping, int port)
{
    char *end;

    while (b->len && (end = memchr(b->data, '\n', b->len))) {
        size_t n = (size_t)(end - (char *)b->data);
        if (!*dropping)
            (void)listen_line(g, (const char *)b->data, n, port); /* a host that is gone asks again */
        *dropping = false;
        memmove(b->data, end + 1, b->len - n - 1);
        b->len -= n + 1;
    }
    if (b->len > GUEST_IN_MAX) {
        *dropping = true;
        buf_reset(b);
    }
}

int guest_listen(const struct guest *g, json_t **ret_answer, struct err *err)
{
    _cleanup_free_ char *path = find_port();
    _cleanup_buf_ struct buf b = BUF_INIT;
    bool dropping = false;
    char piece[4096];
    (void)ret_answer;

    if (!path)
        return err_set(err, ENODEV, "this VM has no virtio port " PORT);
    _cleanup_close_ int port = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (port < 0)
        return err_errno(err, errno, "cannot open %s", path);
    for (;;) {
        struct pollfd p = { .fd = port, .events = POLLIN };
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return err_errno(err, errno, "cannot wait for the host at %s", path);
        ssize_t n = (p.revents & POLLIN) ? read(port, piece, sizeof piece) : 0;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return err_errno(err, errno, "cannot read from %s", path);
        if (n == 0)
            clock_sleep_ms(NO_HOST_MS);
        if (n > 0 && buf_add(&b, piece, (size_t)n) < 0)
            return err_nomem(err);
        take_lines(g, &b, &dropping, port);
    }
}
