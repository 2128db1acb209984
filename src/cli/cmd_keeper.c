/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss keeper: started by a backup to keep its connections to QEMU open if it dies; not for people, and not listed. */
#include "base/keeper.h"
#include "cli/cli.h"
#include <unistd.h>

static int cmd_keeper_run(struct cli *cli, const void *options, char **args, struct err *err)
{
    (void)cli;
    (void)options;
    (void)args;
    return keeper_run(STDIN_FILENO, err) < 0 ? EXIT_FAILED : EXIT_OK;
}

const struct cli_command cmd_keeper = {
    .name = "keeper",
    .args = "",
    .summary = "keep connections open (started by kvss itself)",
    .hidden = true,
    .run = cmd_keeper_run,
};
