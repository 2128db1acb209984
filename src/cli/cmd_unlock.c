/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

struct unlock_options {
    bool all;
};

static const struct cli_option options[] = {
    { "all", 'a', NULL, "remove all locks, even of owners that seem alive", offsetof(struct unlock_options, all), NULL },
    { NULL },
};

static void cmd_unlock_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    (void)cli;
    if (((const struct unlock_options *)opts)->all && *args)
        cli_usage(err, "--all and lock IDs cannot be combined");
}

static int cmd_unlock_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    return requester_unlock(cli->rq, ((const struct unlock_options *)opts)->all, args, ret, err);
}

const struct cli_command cmd_unlock = {
    .name = "unlock",
    .args = "[ID...]",
    .summary = "remove stale locks, list the remaining ones",
    .about = "Rarely needed: kvss removes stale locks automatically. Use --all, or the ID of a\n"
             "lock, only when you are certain that its owner is not running on any host.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct unlock_options),
    .usage = cmd_unlock_usage,
    .job = cmd_unlock_job,
    .render = render_unlock,
};
