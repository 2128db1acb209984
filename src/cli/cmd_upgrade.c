/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

static int cmd_upgrade_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    (void)opts, (void)args;
    return requester_upgrade(cli->rq, ret, err);
}

const struct cli_command cmd_upgrade = {
    .name = "upgrade",
    .args = "",
    .summary = "upgrade the repository to the newest format",
    .about = "No data is rewritten. This cannot be undone: older versions of kvss cannot use\n"
             "the repository afterwards.",
    .job = cmd_upgrade_job,
    .render = render_upgrade,
};
