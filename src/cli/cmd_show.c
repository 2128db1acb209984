/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int cmd_show_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    (void)opts;
    return requester_show(cli->rq, args[0], ret, err);
}

const struct cli_command cmd_show = {
    .name = "show",
    .args = "POINT",
    .summary = "show the details of a restore point",
    .about = "POINT is a restore point ID, a unique prefix of one (6 or more hex digits), or\n"
             "\"latest\".",
    .min_args = 1,
    .max_args = 1,
    .job = cmd_show_job,
    .render = render_show,
};
