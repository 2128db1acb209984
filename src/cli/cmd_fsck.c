/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"
#include "cli/render.h"

struct fsck_options {
    const char *read_data;
};

static const struct cli_option options[] = {
    { "read-data", 0, "[PERCENT]", "read data back: all of it, or PERCENT of it", offsetof(struct fsck_options, read_data), NULL },
    { NULL },
};

static void cmd_fsck_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct fsck_options *o = opts;
    uint64_t percent;

    (void)cli, (void)args;
    if (o->read_data && *o->read_data && num_parse_u64(o->read_data, 1, 100, &percent, err) < 0)
        err_context(err, "option --read-data");
}

static int cmd_fsck_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct fsck_options *o = opts;
    uint64_t percent = o->read_data ? 100 : 0;

    (void)args;
    if (o->read_data && *o->read_data)
        (void)num_parse_u64(o->read_data, 1, 100, &percent, NULL);
    return requester_fsck(cli->rq, (unsigned)percent, ret, err);
}

const struct cli_command cmd_fsck = {
    .name = "fsck",
    .args = "",
    .summary = "check the integrity of the repository",
    .about = "Checks that every restore point is complete: every chunk it needs is in the\n"
             "index and every pack exists. With --read-data packs are read back as well, which\n"
             "finds any kind of damage. Exit code 4 if damage is found.",
    .options = options,
    .options_size = sizeof(struct fsck_options),
    .usage = cmd_fsck_usage,
    .job = cmd_fsck_job,
    .render = render_fsck,
};
