/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PORTS "/sys/class/virtio-ports"

static int open_if_named(const char *port, const char *name)
{
    char path[512], got[128] = "";
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, PORTS "/%s/name", port);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, got, sizeof got - 1);
    close(fd);
    if (n <= 0)
        return -1;
    got[strcspn(got, "\n")] = '\0';
    if (strcmp(got, name) != 0)
        return -1;
    snprintf(path, sizeof path, "/dev/%s", port);
    return open(path, O_RDWR | O_CLOEXEC);
}

int port_open(const char *name)
{
    for (;;) {
        DIR *dir = opendir(PORTS);
        int fd = -1;

        for (struct dirent *e; fd < 0 && dir != NULL && (e = readdir(dir)) != NULL;)
            if (e->d_name[0] != '.')
                fd = open_if_named(e->d_name, name);
        if (dir != NULL)
            closedir(dir);
        if (fd >= 0)
            return fd;
        usleep(200000);
    }
}

/* Until a host connects, roughly. The driver wakes those that wait then; who asks at intervals costs an emulated processor a lot. */
static void await_host(int fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int ep = epoll_create1(EPOLL_CLOEXEC);

    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0)
        usleep(50000);
    else if (epoll_wait(ep, &event, 1, 0) == 0 || (event.events & EPOLLHUP) != 0)
        epoll_wait(ep, &event, 1, 1000);
    if (ep >= 0)
        close(ep);
}

/* One byte at a time: lines are short, and nothing read ahead can be lost. */
void port_read_line(int fd, char *line, size_t size)
{
    size_t len = 0;

    for (;;) {
        char c;
        ssize_t n = read(fd, &c, 1);

        if (n <= 0) { /* 0: no host is connected, and the kernel does not wait for one */
            await_host(fd);
            continue;
        }
        if (c == '\n')
            break;
        if (len + 1 < size)
            line[len++] = c;
    }
    line[len] = '\0';
}

void port_write(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
}
