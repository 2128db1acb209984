/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"
#include "cli/render.h"

struct prune_options {
    bool dry_run, now;
    const char *max_unused, *wait;
};

static const struct cli_option options[] = {
    { "dry-run", 'n', NULL, "only show what would be done", offsetof(struct prune_options, dry_run), NULL },
    { "now", 0, NULL, "free unused data now instead of after a day", offsetof(struct prune_options, now), NULL },
    { "max-unused", 0, "PERCENT", "repack packs with more unused space (default 20)", offsetof(struct prune_options, max_unused), NULL },
    { "wait", 0, "[SECONDS]", "wait for another prune or repair", offsetof(struct prune_options, wait), NULL },
    { NULL },
};

static void cmd_prune_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct prune_options *o = opts;
    uint64_t n;

    (void)args;
    if (o->max_unused && num_parse_u64(o->max_unused, 1, 99, &n, err) < 0)
        err_context(err, "option --max-unused");
    else
        (void)cli_wait(cli, o->wait, &n, err);
}

static int cmd_prune_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct prune_options *o = opts;
    struct requester_prune job = { .dry_run = o->dry_run, .now = o->now };
    uint64_t percent = 0;

    (void)args;
    if (o->max_unused)
        (void)num_parse_u64(o->max_unused, 1, 99, &percent, NULL);
    job.max_unused_percent = (unsigned)percent;
    int r = cli_wait(cli, o->wait, &job.wait_ms, err);
    return r < 0 ? r : requester_prune(cli->rq, &job, ret, err);
}

const struct cli_command cmd_prune = {
    .name = "prune",
    .args = "",
    .summary = "free the space of forgotten restore points",
    .about = "Safe to run while backups are running, on other hosts too: data that they may\n"
             "still need is left for a later prune. Unused data is kept for a day.",
    .options = options,
    .options_size = sizeof(struct prune_options),
    .usage = cmd_prune_usage,
    .job = cmd_prune_job,
    .render = render_prune,
};
