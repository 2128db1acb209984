/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/proc.h"
#include "writers/command_internal.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

/* What the program wrote to stderr ends up in statuses and logs: one line, printable, the end of it if it is long. */
static void tidy(const struct buf *tail, char *text, size_t n)
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

static int parse_answer(const struct buf *out, json_t **ret, struct err *err)
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
        return err_set(err, EBADMSG, "it printed what is no JSON object: line %d: %s", e.line, e.text);
    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(err, EBADMSG, "it printed JSON that is no object");
    }
    *ret = j;
    return 0;
}

static int judge(int status, const char *text, enum command_exit *ret, struct err *err)
{
    if (status > 128)
        return err_set(err, EIO, "it was killed by signal %d%s%s", status - 128, *text ? ": " : "", text);
    if (status > 2)
        return err_set(err, EIO, "it ended with exit code %d, which has no meaning%s%s", status, *text ? ": " : "", text);
    *ret = (enum command_exit)status;
    return 0;
}

static int run(const struct command_call *call, struct buf *out, struct buf *tail, int *ret_status, struct err *err)
{
    _cleanup_free_ char *in = json_dumps(call->input, JSON_COMPACT);

    if (!in)
        return err_errno(err, ENOMEM, "cannot run it");
    struct proc_run r = {
        .argv = PROC_ARGV(call->path, call->event),
        .in = in,
        .in_len = strlen(in),
        .out_max = COMMAND_OUT_MAX,
        .timeout_ms = call->timeout_ms,
        .die_with_us = true,
    };
    return proc_run(&r, out, tail, ret_status, err);
}

int command_run(const struct command_call *call, struct command_result *ret, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT, tail = BUF_INIT;
    struct command_result result = { .verdict = COMMAND_FAILED };
    int status = 0;
    int r = run(call, &out, &tail, &status, err);

    if (r == 0 && tail.data)
        tidy(&tail, result.text, sizeof result.text);
    if (r == 0)
        r = judge(status, result.text, &result.verdict, err);
    if (r == 0)
        r = parse_answer(&out, &result.answer, err);
    if (r < 0) {
        err_context(err, "writer program %s, event %s", call->path, call->event);
        return r;
    }
    *ret = result;
    return 0;
}
