/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"
#include <string.h>

struct repair_options {
    bool read_data;
};

static const struct cli_option options[] = {
    { "read-data", 0, NULL, "read every chunk and keep only the good ones", offsetof(struct repair_options, read_data), NULL },
    { NULL },
};

static void cmd_repair_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    (void)cli, (void)opts;
    if (strcmp(args[0], "packs") && strcmp(args[0], "index"))
        cli_usage(err, "unknown action '%s': use kvss repair index or kvss repair packs", args[0]);
}

static int cmd_repair_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    bool read_data = ((const struct repair_options *)opts)->read_data;

    return strcmp(args[0], "packs") == 0 ? requester_repair_packs(cli->rq, read_data, ret, err)
                                         : requester_repair_index(cli->rq, read_data, ret, err);
}

const struct cli_command cmd_repair = {
    .name = "repair",
    .args = "index|packs",
    .summary = "rebuild the repository index, or damaged packs",
    .about = "index: rebuilds the index from the packs; use it if kvss fsck finds the index\n"
             "damaged or missing. With --read-data damaged chunks are left out; the next full\n"
             "backup of a VM that still has the data stores them again, which also repairs\n"
             "older restore points. packs: rewrites damaged packs if all the data that restore\n"
             "points need from them can still be read, there or elsewhere.",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct repair_options),
    .usage = cmd_repair_usage,
    .job = cmd_repair_job,
    .render = render_repair,
};
