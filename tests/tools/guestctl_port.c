/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestctl.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int connect_path(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof addr.sun_path)
        return -1;
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        close(fd); /* EAGAIN too: the queue is full of clients that wait */
        fd = -1;
    }
    return fd;
}

bool port_connect(struct port *p)
{
    glob_t found;

    if (p->fd >= 0)
        return true;
    if (glob(p->pattern, GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; p->fd < 0 && i < found.gl_pathc; i++)
        p->fd = connect_path(found.gl_pathv[i]);
    globfree(&found);
    p->used = 0;
    return p->fd >= 0;
}

void port_close(struct port *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->used = 0;
}

static bool wait_io(int fd, short events, int64_t deadline)
{
    for (;;) {
        struct pollfd pfd = { .fd = fd, .events = events };
        int64_t left = deadline - clock_ms();
        int n = poll(&pfd, 1, left < 0 ? 0 : left > 1000 ? 1000 : (int)left);

        if (n > 0)
            return true;
        if (left <= 0 || (n < 0 && errno != EINTR))
            return false;
    }
}

bool port_send(struct port *p, const char *text, int64_t deadline)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t n = send(p->fd, text, left, MSG_NOSIGNAL);

        if (n > 0) {
            text += n;
            left -= (size_t)n;
        } else if ((errno != EAGAIN && errno != EINTR) || !wait_io(p->fd, POLLOUT, deadline)) {
            port_close(p);
            return false;
        }
    }
    return true;
}

static bool take_line(struct port *p, char *line)
{
    char *end = memchr(p->buf, '\n', p->used);
    size_t len;

    if (end == NULL) {
        if (p->used == sizeof p->buf)
            p->used = 0; /* no line of ours is that long */
        return false;
    }
    len = (size_t)(end - p->buf);
    memcpy(line, p->buf, len);
    line[len] = '\0';
    p->used -= len + 1;
    memmove(p->buf, end + 1, p->used);
    return true;
}

int port_line(struct port *p, char *line, int64_t deadline)
{
    for (;;) {
        ssize_t n;

        if (take_line(p, line))
            return 1;
        if (!wait_io(p->fd, POLLIN, deadline))
            return 0;
        n = recv(p->fd, p->buf + p->used, sizeof p->buf - p->used, 0);
        if (n > 0)
            p->used += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            port_close(p);
            return -1;
        }
    }
}
