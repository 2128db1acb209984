/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the passphrase of a repository comes from: a file, the configuration (environment), or a person. */
#include "base/io.h"
#include "requester/internal.h"
#include <errno.h>
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

static void warn_if_readable(const struct requester *rq, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH)))
        log_warning(rq->config.log, "password file %s can be read by others: chmod 600 it", path);
}

static int from_file(const struct requester *rq, const char *path, char **ret, struct err *err)
{
    struct buf b = BUF_INIT;
    int r = io_read_file(path, PASSPHRASE_MAX, &b, err);
    if (r < 0)
        return err_context(err, "password file");

    size_t len = b.len ? strcspn((const char *)b.data, "\r\n") : 0;
    if (len && memchr(b.data, '\0', len)) {
        r = err_set(err, EINVAL, "password file %s holds a NUL byte: use --key-file for binary keys", path);
    } else if (len == 0) {
        r = err_set(err, EINVAL, "password file %s: its first line is empty", path);
    } else if (!(*ret = strndup((const char *)b.data, len))) {
        r = err_set(err, ENOMEM, "out of memory");
    }
    if (b.data)
        explicit_bzero(b.data, b.cap);
    buf_free(&b);
    if (r >= 0)
        warn_if_readable(rq, path);
    return r;
}

int key_given(const struct requester *rq, char **ret, struct err *err)
{
    const struct requester_config *c = &rq->config;

    if (c->password_file)
        return from_file(rq, c->password_file, ret, err);
    if (!c->passphrase || !*c->passphrase)
        return 0;
    *ret = strdup(c->passphrase);
    return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

int key_asked(const struct requester *rq, const char *prompt, bool confirm, char **ret, struct err *err)
{
    if (!rq->config.ask)
        return err_set(err, EACCES, "no passphrase was given and nobody can be asked: give --password-file FILE or --key-file FILE, "
                                    "or set KVSS_PASSWORD_FILE or KVSS_PASSWORD");
    return rq->config.ask(rq->config.ask_priv, prompt, confirm, ret, err);
}
