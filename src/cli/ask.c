/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/ask.h"
#include "base/cleanup.h"
#include "base/par.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASSPHRASE_MAX 1024
#define LOOK_AT_CANCEL_MS 200

bool ask_possible(void)
{
    _cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    return fd >= 0;
}

/* A line without its end; -ENODATA: the end of the input comes first. -EINTR where the flag was raised. */
static int read_line(int fd, char *buf, size_t size, const struct par_cancel *cancel)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t n = 0;

    for (;;) {
        int ready;
        while ((ready = poll(&p, 1, LOOK_AT_CANCEL_MS)) == 0 || (ready < 0 && errno == EINTR))
            if (par_cancelled(cancel))
                return -EINTR;
        ssize_t got = read(fd, buf + n, 1);
        if (got < 0)
            return -errno;
        if (got == 0 && n == 0)
            return -ENODATA;
        if (got == 0 || buf[n] == '\n')
            break;
        if (++n == size - 1)
            return -E2BIG;
    }
    buf[n] = '\0';
    return 0;
}

/* Questions come before anything is done. */
static int not_answered(int r, const char *what, struct err *err)
{
    return r == -EINTR ? err_set(err, EINTR, "interrupted; nothing was changed") : err_errno(err, -r, "%s", what);
}

static int ask_once(int fd, const char *prompt, char *buf, const struct par_cancel *cancel, struct err *err)
{
    struct termios before, silent;

    if (tcgetattr(fd, &before) < 0)
        return err_errno(err, errno, "cannot ask for a passphrase");
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    if (write(fd, prompt, strlen(prompt)) < 0 || tcsetattr(fd, TCSAFLUSH, &silent) < 0)
        return err_errno(err, errno, "cannot ask for a passphrase");
    int r = read_line(fd, buf, PASSPHRASE_MAX, cancel);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    (void)!write(fd, "\n", 1);
    if (r == -ENODATA)
        return err_set(err, EACCES, "no passphrase entered");
    return r < 0 ? not_answered(r, "no passphrase entered", err) : 0;
}

int ask_passphrase(void *priv, const char *prompt, bool confirm, char **ret, struct err *err)
{
    char first[PASSPHRASE_MAX], second[PASSPHRASE_MAX];
    _cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_errno(err, errno, "cannot ask for a passphrase");
    int r = ask_once(fd, prompt, first, priv, err);
    if (r >= 0 && confirm)
        r = ask_once(fd, "Repeat passphrase: ", second, priv, err);
    if (r >= 0 && !*first)
        r = err_set(err, EINVAL, "the passphrase must not be empty");
    if (r >= 0 && confirm && strcmp(first, second))
        r = err_set(err, EINVAL, "the passphrases do not match");
    if (r >= 0 && !(*ret = strdup(first)))
        r = err_nomem(err);
    explicit_bzero(first, sizeof(first));
    explicit_bzero(second, sizeof(second));
    return r;
}

int ask_terminal(FILE **ret, struct err *err)
{
    FILE *f = isatty(STDIN_FILENO) == 1 ? fopen("/dev/tty", "r+e") : NULL;

    if (!f)
        return err_set(err, ENOTTY, "no terminal available to ask for confirmation");
    *ret = f;
    return 0;
}

int ask_line(FILE *terminal, const char *prompt, char *buf, size_t size, const struct par_cancel *cancel, struct err *err)
{
    int r = fputs(prompt, terminal) < 0 || fflush(terminal) != 0 ? -errno : read_line(fileno(terminal), buf, size, cancel);

    return r < 0 ? not_answered(r, "no answer received", err) : 0;
}
