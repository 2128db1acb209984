/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"
#include <string.h>

struct repair_options {
    bool read_data;
};

static const struct cli_option options[] = {
    { "read-data", 0, NULL, "read every chunk, keep the good ones only", offsetof(struct repair_options, read_data), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct repair_options *o = opts;
    json_t *report = NULL;

    if (strcmp(args[0], "index"))
        return cli_usage(err, "kvss repair takes index, not '%s'", args[0]);
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_repair_index(cli->rq, o->read_data, &report, err);
    return cli_finish(cli, r, report, render_repair);
}

const struct cli_command cmd_repair = {
    .name = "repair",
    .args = "index",
    .summary = "make the repository's index anew from its packs",
    .about = "Needed when kvss fsck finds the index damaged or missing. With --read-data what\n"
             "is damaged in packs is left out; the next full backup of a VM that still has\n"
             "that data stores it again, which heals older restore points too.",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct repair_options),
    .run = run,
};
