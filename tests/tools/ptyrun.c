/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptyrun [-o FILE] [-t SECONDS] [PROMPT ANSWER]... -- COMMAND [ARGUMENT...]
 *
 * Runs a command on a terminal of its own (a pty that is its controlling terminal), waits for each PROMPT in turn and types the ANSWER
 * after it; what the terminal shows goes to stdout. An ANSWER is typed with Enter, but "^C" and "^D" are the keys, and "@COMMAND" is
 * a shell command that is run first, while the prompt waits, with nothing typed after it. -o: the command's stdout goes to FILE
 * instead of the terminal. Ends as the command does; 124: a prompt did not come, or the command did not end, within SECONDS (60). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_MAX (1 << 20)

struct run {
    int fd;
    pid_t pid;
    time_t until;
    char shown[SHOWN_MAX];
    size_t n, seen; /* seen: up to where prompts were found */
};

static void die(const char *what)
{
    fprintf(stderr, "ptyrun: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void type(struct run *r, const char *answer)
{
    char line[1100];

    if (answer[0] == '@') {
        if (system(answer + 1) != 0)
            fprintf(stderr, "ptyrun: %s failed\n", answer + 1);
        return;
    }
    if (answer[0] == '^' && answer[1] && !answer[2])
        snprintf(line, sizeof(line), "%c", answer[1] & 0x1f);
    else
        snprintf(line, sizeof(line), "%s\n", answer);
    if (write(r->fd, line, strlen(line)) < 0)
        die("cannot type");
}

/* 0: the command has closed the terminal. */
static int take_more(struct run *r)
{
    struct pollfd p = { .fd = r->fd, .events = POLLIN };
    char buf[4096];

    while (time(NULL) < r->until) {
        if (poll(&p, 1, 200) <= 0)
            continue;
        ssize_t got = read(r->fd, buf, sizeof(buf));
        if (got <= 0)
            return 0; /* EIO: the last one has closed it */
        fwrite(buf, 1, (size_t)got, stdout);
        for (ssize_t i = 0; i < got && r->n + 1 < sizeof(r->shown); i++)
            r->shown[r->n++] = buf[i] ? buf[i] : '?';
        return 1;
    }
    fflush(stdout);
    fprintf(stderr, "ptyrun: too slow\n");
    kill(r->pid, SIGKILL);
    exit(124);
}

static void await(struct run *r, const char *prompt, const char *answer)
{
    for (;;) {
        r->shown[r->n] = '\0';
        char *at = strstr(r->shown + r->seen, prompt);
        if (at) {
            r->seen = (size_t)(at - r->shown) + strlen(prompt);
            usleep(100000); /* the echo is switched after the prompt is shown, as for a person */
            type(r, answer);
            return;
        }
        if (!take_more(r)) {
            fflush(stdout);
            fprintf(stderr, "ptyrun: no prompt '%s'\n", prompt);
            return;
        }
    }
}

static pid_t start(struct run *r, char **command, const char *out)
{
    pid_t pid = forkpty(&r->fd, NULL, NULL, NULL);

    if (pid != 0)
        return pid;
    const int keys[] = { SIGINT, SIGQUIT, SIGHUP, SIGTERM }; /* as a shell would, though a test in the background ignores some */
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        signal(keys[i], SIG_DFL);
    int fd = out ? open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (out && (fd < 0 || dup2(fd, STDOUT_FILENO) < 0))
        die(out);
    execvp(command[0], command);
    die(command[0]);
    return -1;
}

int main(int argc, char **argv)
{
    static struct run r;
    const char *out = NULL;
    int i = 1, limit = 60, status, first;

    for (; i + 1 < argc && argv[i][0] == '-' && argv[i][1] != '-'; i += 2)
        if (argv[i][1] == 'o')
            out = argv[i + 1];
        else
            limit = atoi(argv[i + 1]);
    for (first = i; i < argc && strcmp(argv[i], "--"); i++)
        ;
    if (i + 1 >= argc || (i - first) % 2) {
        fprintf(stderr, "usage: ptyrun [-o FILE] [-t SECONDS] [PROMPT ANSWER]... -- COMMAND...\n");
        return 125;
    }
    r.pid = start(&r, argv + i + 1, out);
    if (r.pid < 0)
        die("forkpty");
    r.until = time(NULL) + limit;
    for (int k = first; k < i; k += 2)
        await(&r, argv[k], argv[k + 1]);
    while (take_more(&r))
        ;
    if (waitpid(r.pid, &status, 0) < 0)
        die("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
