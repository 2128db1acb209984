/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss watchdog: started by a session of kvss to look after it from outside; not for people, and not listed. */
#include "cli/cli.h"

static int cmd_watchdog_run(struct cli *cli, const void *options, char **args, struct err *err)
{
    (void)options;
    cli->quiet = true; /* nobody watches progress here */
    if (cli_prepare(cli, err) < 0)
        return EXIT_FAILED;
    return requester_watchdog(cli->rq, args[0], err) < 0 ? EXIT_FAILED : EXIT_OK;
}

const struct cli_command cmd_watchdog = {
    .name = "watchdog",
    .args = "SESSION",
    .summary = "watch over a kvss session (started by kvss itself)",
    .hidden = true,
    .min_args = 1,
    .max_args = 1,
    .run = cmd_watchdog_run,
};
