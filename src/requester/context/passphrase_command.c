/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A passphrase from a program: password-command. It is run from an argument vector, without a shell, within a time limit; what it prints is
 * bounded and wiped. */
#include "base/proc.h"
#include "base/text.h"
#include "requester/context/context.h"
#include "requester/context/passphrase_command.h"
#include <errno.h>
#include <string.h>

#define COMMAND_PASSPHRASE_MAX 4096
#define COMMAND_DEADLINE_MS 60000

/* One word from *p on, which is moved behind it; blanks end it but within quotes. */
static int take_word(const char **p, struct buf *word, struct err *err)
{
    char quote = '\0';

    for (; **p && (quote || !strchr(" \t", **p)); ++*p) {
        if (quote ? **p == quote : **p == '"' || **p == '\'')
            quote = quote ? '\0' : **p;
        else if (buf_add(word, *p, 1) < 0)
            return err_nomem(err);
    }
    return quote ? err_set(err, EINVAL, "password-command: unclosed quotation mark (%c)", quote) : 0;
}

int keys_command_split(const char *text, char ***ret, struct err *err)
{
    _cleanup_strv_ char **words = NULL;

    for (const char *p = text + strspn(text, " \t"); *p; p += strspn(p, " \t")) {
        _cleanup_buf_ struct buf word = BUF_INIT;
        int r = take_word(&p, &word, err);
        if (r < 0)
            return r;
        if (buf_add(&word, "", 1) < 0 || strv_add(&words, (const char *)word.data) < 0)
            return err_nomem(err);
    }
    if (!words || !*words[0])
        return err_set(err, EINVAL, "password-command: no program given");
    *ret = TAKE_PTR(words);
    return 0;
}

static int command_take_line(const struct buf *out, const char *program, char **ret, struct err *err)
{
    const char *text = (const char *)out->data;
    size_t n = 0;

    while (n < out->len && text[n] != '\r' && text[n] != '\n')
        n++;
    if (n == 0)
        return err_set(err, EINVAL, "password-command: %s printed no passphrase: the first line of its output is empty", program);
    if (memchr(text, '\0', n))
        return err_set(err, EINVAL, "password-command: the passphrase printed by %s contains a NUL byte", program);
    *ret = strndup(text, n);
    return *ret ? 0 : err_nomem(err);
}

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

int keys_command_run(const struct requester *rq, const char *command, char **ret, struct err *err)
{
    _cleanup_strv_ char **argv = NULL;
    _cleanup_buf_ struct buf said = BUF_INIT;
    struct buf out = BUF_INIT;
    int status = 0;
    int r = keys_command_split(command, &argv, err);

    if (r < 0)
        return r;
    const struct proc_run run = { .argv = argv,
                                  .name = "it",
                                  .out_max = COMMAND_PASSPHRASE_MAX,
                                  .timeout_ms = COMMAND_DEADLINE_MS,
                                  .cancel = rq->config.cancel,
                                  .die_with_us = true };
    r = proc_run(&run, &out, &said, &status, err);
    if (said.data)
        text_clean((char *)said.data, true);
    if (r < 0)
        err_context(err, "password-command: %s%s%s", argv[0], said.len ? ": " : "", said.len ? (const char *)said.data : "");
    else if (status)
        r = err_set(err, EACCES, "password-command: %s failed (exit code %d)%s%s", argv[0], status, said.len ? ": " : "",
                    said.len ? (const char *)said.data : "");
    else if (said.len)
        log_warning(rq->config.log, "password-command: %s: %s", argv[0], (const char *)said.data);
    if (r >= 0)
        r = command_take_line(&out, argv[0], ret, err);
    wipe(&out);
    return r;
}
