/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

struct protect_options {
    const char *until;
    bool off;
};

static const struct cli_option options[] = {
    { "until", 0, "DATE", "protect until the end of that date, or that time", offsetof(struct protect_options, until), NULL },
    { "off", 0, NULL, "remove the protection", offsetof(struct protect_options, off), NULL },
    { NULL },
};

static void cmd_protect_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct protect_options *o = opts;

    (void)cli, (void)args;
    if (o->until && o->off)
        cli_usage(err, "--until and --off cannot be combined");
}

static int cmd_protect_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct protect_options *o = opts;
    const struct requester_protect job = { .points = args, .until = o->until, .off = o->off };

    return requester_protect(cli->rq, &job, ret, err);
}

const struct cli_command cmd_protect = {
    .name = "protect",
    .args = "POINT...",
    .summary = "protect restore points from being removed",
    .about = "Retention rules skip a protected restore point, kvss forget refuses to remove\n"
             "it, and kvss prune keeps its data. POINT is a restore point ID, a unique prefix\n"
             "of one (6 or more hex digits), or \"latest\".",
    .min_args = 1,
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct protect_options),
    .usage = cmd_protect_usage,
    .job = cmd_protect_job,
    .render = render_protect,
};
