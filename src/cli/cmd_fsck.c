/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"
#include "cli/render.h"

struct fsck_options {
    const char *read_data;
};

static const struct cli_option options[] = {
    { "read-data", 0, "[PERCENT]", "read data back: all, or that share", offsetof(struct fsck_options, read_data), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct fsck_options *o = opts;
    uint64_t percent = o->read_data ? 100 : 0;
    json_t *report = NULL;

    (void)args;
    if (o->read_data && *o->read_data && num_parse_u64(o->read_data, 1, 100, &percent, err) < 0)
        return err_context(err, "option --read-data"), EXIT_USAGE;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_fsck(cli->rq, (unsigned)percent, &report, err);
    return cli_finish(cli, r, report, render_fsck);
}

const struct cli_command cmd_fsck = {
    .name = "fsck",
    .args = "",
    .summary = "check the repository itself",
    .about = "Looks whether every restore point is complete: each chunk it needs is known and\n"
             "its pack is there. With --read-data packs are read back too, which finds damage\n"
             "anywhere. Exit code 4 if there is any.",
    .options = options,
    .options_size = sizeof(struct fsck_options),
    .run = run,
};
