/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    json_t *report = NULL;

    (void)opts, (void)args;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_upgrade(cli->rq, &report, err);
    return cli_finish(cli, r, report, render_upgrade);
}

const struct cli_command cmd_upgrade = {
    .name = "upgrade",
    .args = "",
    .summary = "give the repository the newest format",
    .about = "No data is written again, and there is no way back: older versions of kvss\n"
             "cannot use the repository any more.",
    .run = run,
};
