/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"

struct protect_options {
    const char *until;
    bool off;
};

static const struct cli_option options[] = {
    { "until", 0, "DATE", "protect it up to and including that date or time", offsetof(struct protect_options, until), NULL },
    { "off", 0, NULL, "end the protection", offsetof(struct protect_options, off), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct protect_options *o = opts;
    const struct requester_protect job = { .points = args, .until = o->until, .off = o->off };
    json_t *report = NULL;

    if (o->until && o->off)
        return cli_usage(err, "--until and --off exclude each other");
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_protect(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_protect);
}

const struct cli_command cmd_protect = {
    .name = "protect",
    .args = "POINT...",
    .summary = "protect restore points from being removed",
    .about = "No rule removes a protected restore point, kvss forget refuses to, and kvss\n"
             "prune keeps what it needs. POINT is a restore point ID, a unique prefix of one\n"
             "(6 or more hex digits), or \"latest\".",
    .min_args = 1,
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct protect_options),
    .run = run,
};
