/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int run(struct cli *cli, const void *options, char **args, struct err *err)
{
    json_t *report = NULL;

    (void)options;
    (void)args;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_stats(cli->rq, &report, err);
    return cli_finish(cli, r, report, render_stats);
}

const struct cli_command cmd_stats = {
    .name = "stats",
    .args = "",
    .summary = "tell what the restore points take, per VM and in all",
    .run = run,
};
