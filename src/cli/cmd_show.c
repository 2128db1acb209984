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
    r = requester_show(cli->rq, args[0], &report, err);
    return cli_finish(cli, r, report, render_show);
}

const struct cli_command cmd_show = {
    .name = "show",
    .args = "POINT",
    .summary = "tell everything recorded of a restore point",
    .about = "POINT is an id, the begin of one (at least 6 digits), or latest.",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
