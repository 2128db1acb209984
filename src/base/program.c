/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/program.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/proc.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

/* What the program wrote to stderr ends up in statuses and logs: one line, printable, the end of it if it is long. */
static void program_tidy(const struct buf *tail, char *text, size_t n)
{
    const char *s = (const char *)tail->data;
    size_t len = tail->len, out = 0;

    while (len > 0 && isspace((unsigned char)s[len - 1]))
        len--;
    size_t from = len >= n ? len - n + 1 : 0;
    for (size_t i = from; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f)
            c = ' ';
        if (c >= 0x80)
            c = '?'; /* the tail may begin within a character */
        if (c != ' ' || (out > 0 && text[out - 1] != ' '))
            text[out++] = (char)c;
    }
    text[out] = '\0';
}

static int program_parse(const struct buf *out, json_t **ret, struct err *err)
{
    json_error_t e;
    size_t blank = 0;

    while (blank < out->len && isspace(out->data[blank]))
        blank++;
    if (blank == out->len) {
        *ret = NULL;
        return 0;
    }
    json_t *j = json_loadb((const char *)out->data, out->len, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        return err_set(err, EBADMSG, "it did not print a JSON object: line %d: %s", e.line, e.text);
    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(err, EBADMSG, "it printed JSON that is not an object");
    }
    *ret = j;
    return 0;
}

static int program_judge(int status, const char *text, enum program_verdict *ret, struct err *err)
{
    if (status > 128)
        return err_set(err, EIO, "it was killed by signal %d%s%s", status - 128, *text ? ": " : "", text);
    if (status > 2)
        return err_set(err, EIO, "it ended with exit code %d, which has no defined meaning%s%s", status, *text ? ": " : "", text);
    *ret = (enum program_verdict)status;
    return 0;
}

static int program_start(const struct program_call *call, struct buf *out, struct buf *tail, int *ret_status, struct err *err)
{
    _cleanup_free_ char *in = json_dumps(call->input, JSON_COMPACT);

    if (!in)
        return err_nomem(err);
    struct proc_run r = {
        .argv = PROC_ARGV("/proc/self/fd/3", call->word),
        .name = "it",
        .env = call->env,
        .pass = &call->file,
        .n_pass = 1,
        .in = in,
        .in_len = strlen(in),
        .out_max = call->out_max,
        .timeout_ms = call->timeout_ms,
        .die_with_us = true,
    };
    return proc_run(&r, out, tail, ret_status, err);
}

int program_run(const struct program_call *call, struct program_result *ret, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT, tail = BUF_INIT;
    struct program_result result = { .verdict = PROGRAM_FAILED };
    int status = 0;
    int r = program_start(call, &out, &tail, &status, err);

    if (r == 0 && tail.data)
        program_tidy(&tail, result.text, sizeof result.text);
    if (r == 0)
        r = program_judge(status, result.text, &result.verdict, err);
    if (r == 0)
        r = program_parse(&out, &result.answer, err);
    if (r < 0) {
        err_context(err, "%s %s, %s %s", call->what, call->path, call->noun, call->word);
        return r;
    }
    *ret = result;
    return 0;
}
