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

    bool packs = strcmp(args[0], "packs") == 0;
    if (!packs && strcmp(args[0], "index"))
        return cli_usage(err, "kvss repair takes index or packs, not '%s'", args[0]);
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = packs ? requester_repair_packs(cli->rq, o->read_data, &report, err) : requester_repair_index(cli->rq, o->read_data, &report, err);
    return cli_finish(cli, r, report, render_repair);
}

const struct cli_command cmd_repair = {
    .name = "repair",
    .args = "index|packs",
    .summary = "rebuild the repository's index, or its damaged packs",
    .about = "index: makes the index again from the packs, if kvss fsck finds it damaged or\n"
             "missing. With --read-data what is damaged in packs is left out; the next full\n"
             "backup of a VM that still has that data stores it again, which heals older\n"
             "restore points too. packs: writes packs again that are damaged, if everything\n"
             "that restore points need of them can be read there or elsewhere.",
    .min_args = 1,
    .max_args = 1,
    .options = options,
    .options_size = sizeof(struct repair_options),
    .run = run,
};
