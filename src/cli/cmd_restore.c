/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int run(struct cli *cli, const void *options, char **args, struct err *err)
{
    struct requester_restore job = { .point = args[0], .vms = args[1] ? args + 1 : NULL };
    json_t *report = NULL;

    (void)options;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_restore(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_restore);
}

const struct cli_command cmd_restore = {
    .name = "restore",
    .args = "POINT [VM...]",
    .summary = "bring VMs back from a restore point",
    .about = "VMs that exist are turned off and replaced. Without VM: all that the restore\n"
             "point holds, and the files of other writers. POINT is an id, the begin of one\n"
             "(at least 6 digits), or latest.",
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
