/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss provider-host: started by a session to keep a provider that is a shared object in a process of its own; not for people, and not
 * listed. */
#include "cli/cli.h"

static int cmd_provider_host_run(struct cli *cli, const void *options, char **args, struct err *err)
{
    (void)cli;
    (void)options;
    (void)args;
    return requester_provider_host(err) < 0 ? EXIT_FAILED : EXIT_OK;
}

const struct cli_command cmd_provider_host = {
    .name = "provider-host",
    .args = "FILE",
    .summary = "run a provider (started by kvss itself)",
    .hidden = true,
    .min_args = 1,
    .max_args = 1,
    .run = cmd_provider_host_run,
};
