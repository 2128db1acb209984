/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int run(struct cli *cli, const void *options, char **args, struct err *err)
{
    json_t *report = NULL;

    (void)options;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_verify(cli->rq, args[0], &report, err);
    return cli_finish(cli, r, report, render_verify);
}

const struct cli_command cmd_verify = {
    .name = "verify",
    .args = "[POINT]",
    .summary = "read back and verify a restore point, or all",
    .about = "Exit code 4 if damage is found. POINT is an id, the begin of one (at least 6\n"
             "digits), or latest.",
    .max_args = 1,
    .run = run,
};
