/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

struct unlock_options {
    bool all;
};

static const struct cli_option options[] = {
    { "all", 'a', NULL, "also locks of owners that seem to be alive", offsetof(struct unlock_options, all), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct unlock_options *o = opts;
    json_t *report = NULL;

    if (o->all && *args)
        return cli_usage(err, "--all and ids of locks exclude each other");
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_unlock(cli->rq, o->all, args, &report, err);
    return cli_finish(cli, r, report, render_unlock);
}

const struct cli_command cmd_unlock = {
    .name = "unlock",
    .args = "[ID...]",
    .summary = "remove locks of sessions that are gone, tell the others",
    .about = "Seldom needed: stale locks are broken by themselves. Use --all, or the ID of\n"
             "a lock, only if it is certain that its owner runs on no host.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct unlock_options),
    .run = run,
};
