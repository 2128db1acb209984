/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the passphrase of a repository comes from: a file, the configuration (environment), or a person. */
#include "requester/context/context.h"
#include "requester/context/passphrase_command.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PASSPHRASE_MAX 4096

void key_wipe(char *passphrase)
{
    if (!passphrase)
        return;
    explicit_bzero(passphrase, strlen(passphrase));
    free(passphrase);
}

static void warn_if_readable(const struct requester *rq, const char *what, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH)))
        log_warning(rq->config.log, "%s %s can be read by others: run chmod 600 on it", what, path);
}

void key_file_look(const struct requester *rq, const char *path)
{
    if (path)
        warn_if_readable(rq, "key file", path);
}

/* Editors of other systems put one at the begin of a file, unseen. It is a part of the passphrase as much as any byte, since there may be
 * repositories with such a passphrase; nobody can type it. */
static void warn_of_mark(const struct requester *rq, const char *path, const char *text, size_t n)
{
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        log_warning(rq->config.log,
                    "password file %s begins with a byte-order mark, which becomes part of the passphrase; if that is not intended, save "
                    "the file without it",
                    path);
}

static bool is_utf16(const char *text, size_t n)
{
    return n >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2));
}

/* Up to size bytes. The file may be a pipe whose other end takes its time: <(pass show backup). */
static ssize_t read_start(const char *path, char *buf, size_t size, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t n = 0;
    ssize_t got = 1;

    if (fd < 0)
        return err_errno(err, errno, "cannot open the password file %s", path);
    while (n < size && got && !memchr(buf, '\n', n)) {
        got = read(fd, buf + n, size - n);
        if (got < 0 && errno != EINTR)
            return err_errno(err, errno, "cannot read the password file %s", path);
        n += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)n;
}

static int from_file(const struct requester *rq, const char *path, char **ret, struct err *err)
{
    char text[PASSPHRASE_MAX];
    ssize_t n = read_start(path, text, sizeof(text), err);
    size_t len = 0;
    int r = n < 0 ? (int)n : 0;

    while (n > 0 && len < (size_t)n && text[len] != '\r' && text[len] != '\n')
        len++;
    if (r < 0)
        return r;
    if (len == sizeof(text))
        r = err_set(err, EFBIG, "password file %s: the first line is longer than %d bytes", path, PASSPHRASE_MAX - 1);
    else if (is_utf16(text, len))
        r = err_set(err, EINVAL, "password file %s is UTF-16 (it begins with a byte-order mark): save it as UTF-8 without one", path);
    else if (memchr(text, '\0', len))
        r = err_set(err, EINVAL, "password file %s contains a NUL byte: use --key-file for binary keys", path);
    else if (len == 0)
        r = err_set(err, EINVAL, "password file %s: the first line is empty", path);
    else if (!(*ret = strndup(text, len)))
        r = err_nomem(err);
    if (r >= 0)
        warn_of_mark(rq, path, text, len);
    explicit_bzero(text, sizeof(text));
    if (r >= 0)
        warn_if_readable(rq, "password file", path);
    return r;
}

int key_given(const struct requester *rq, char **ret, struct err *err)
{
    const struct requester_config *c = &rq->config;

    if (c->password_file)
        return from_file(rq, c->password_file, ret, err);
    if (c->password_command)
        return keys_command_run(rq, c->password_command, ret, err);
    if (!c->passphrase || !*c->passphrase)
        return 0;
    *ret = strdup(c->passphrase);
    return *ret ? 0 : err_nomem(err);
}

int key_asked(const struct requester *rq, const char *prompt, bool confirm, char **ret, struct err *err)
{
    if (!rq->config.ask)
        return err_set(err, EACCES,
                       "no passphrase given and no terminal to ask at: use --password-file FILE, --key-file FILE or --password-command "
                       "COMMAND, or set KVSS_PASSWORD_FILE or KVSS_PASSWORD");
    return rq->config.ask(rq->config.ask_priv, prompt, confirm, ret, err);
}
