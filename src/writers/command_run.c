/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/program.h"
#include "writers/command_internal.h"
#include <string.h>

int command_run(const struct command_call *call, struct command_result *ret, struct err *err)
{
    _cleanup_free_ char *where = str_format("KVSS_WRITER=%s", call->path); /* it cannot tell by the name that it is run by */
    const struct program_call program = {
        .what = "writer program",
        .noun = "event",
        .path = call->path,
        .word = call->event,
        .file = call->file,
        .env = (char *[]){ where, NULL },
        .input = call->input,
        .timeout_ms = call->timeout_ms,
        .out_max = COMMAND_OUT_MAX,
    };
    struct program_result result = { 0 };
    int r = where ? program_run(&program, &result, err) : err_nomem(err);

    if (r < 0)
        return r;
    *ret = (struct command_result){ .verdict = (enum command_exit)result.verdict, .answer = result.answer };
    memcpy(ret->text, result.text, sizeof(ret->text));
    return 0;
}
