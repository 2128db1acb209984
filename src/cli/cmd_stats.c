/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int cmd_stats_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    (void)opts, (void)args;
    return requester_stats(cli->rq, ret, err);
}

const struct cli_command cmd_stats = {
    .name = "stats",
    .args = "",
    .summary = "show the space used, per VM and in total",
    .job = cmd_stats_job,
    .render = render_stats,
};
