/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2 */
#endif
#include "guestd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE 1024 /* bytes of output per line */

static void send_output(int port, const char *id, const char *data, size_t len)
{
    char line[2 * PIECE + 128];
    int at = snprintf(line, sizeof line, "\n%s O ", id);

    for (size_t i = 0; i < len; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, "%02x", (unsigned char)data[i]);
    line[at++] = '\n';
    port_write(port, line, (size_t)at);
}

/* Turns hex in place into the bytes it stands for. */
static void unhex(char *text)
{
    size_t n = 0;

    for (; text[2 * n] != '\0' && text[2 * n + 1] != '\0'; n++) {
        char two[3] = { text[2 * n], text[2 * n + 1], '\0' };

        text[n] = (char)strtoul(two, NULL, 16);
    }
    text[n] = '\0';
}

static pid_t start(const char *command, int *out)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        signal(SIGCHLD, SIG_DFL);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    if (pid < 0)
        close(fds[0]);
    else
        *out = fds[0];
    return pid;
}

static time_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/*
 * Passes on what the command prints until it ends, not until its output is closed: what it leaves in
 * the background holds that open.
 */
static int follow(int port, const char *id, pid_t pid, int out, time_t deadline)
{
    char piece[PIECE];
    int status = 0;
    bool ended = false;

    for (;;) {
        struct pollfd p = { .fd = out, .events = POLLIN };
        ssize_t n = 0;

        if (!ended && waitpid(pid, &status, WNOHANG) == pid)
            ended = true;
        if (poll(&p, 1, ended ? 0 : 10) > 0 && (n = read(out, piece, sizeof piece)) > 0)
            send_output(port, id, piece, (size_t)n);
        else if (ended)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        else if (now() >= deadline)
            break;
        else if (p.revents != 0)
            usleep(5000); /* closed, but the command still runs */
    }
    kill(-pid, SIGKILL); /* may not help: a process held by a frozen file system cannot die */
    return 124;
}

static void run(int port, const char *id, int seconds, char *hex)
{
    char line[128];
    int out = -1, status = 126, len;
    pid_t pid;

    unhex(hex);
    signal(SIGCHLD, SIG_DFL);
    pid = start(hex, &out);
    if (pid > 0)
        status = follow(port, id, pid, out, now() + seconds);
    len = snprintf(line, sizeof line, "\n%s E %d\n", id, status);
    port_write(port, line, (size_t)len);
    _exit(0);
}

void shell_serve(void)
{
    static char line[LINE_MAX_BYTES];
    int port = port_open(SHELL_PORT);

    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        char id[33], answer[64];
        int seconds, at = 0;

        port_read_line(port, line, sizeof line);
        if (sscanf(line, "PING %32s", id) == 1)
            port_write(port, answer, (size_t)snprintf(answer, sizeof answer, "\n%s P\n", id));
        /* a process per request: one that hangs on a frozen disk must not stop the next */
        if (sscanf(line, "RUN %32s %d %n", id, &seconds, &at) == 2 && at > 0 && fork() == 0)
            run(port, id, seconds, line + at);
    }
}
