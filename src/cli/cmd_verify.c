/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int cmd_verify_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    (void)opts;
    return requester_verify(cli->rq, args[0], ret, err);
}

const struct cli_command cmd_verify = {
    .name = "verify",
    .args = "[POINT]",
    .summary = "read back and verify one restore point, or all",
    .about = "Exit code 4 if damage is found. POINT is a restore point ID, a unique prefix of\n"
             "one (6 or more hex digits), or \"latest\".",
    .max_args = 1,
    .job = cmd_verify_job,
    .render = render_verify,
};
