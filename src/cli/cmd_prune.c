/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"
#include "cli/render.h"

struct prune_options {
    bool dry_run, now;
    const char *max_unused, *wait;
};

static const struct cli_option options[] = {
    { "dry-run", 'n', NULL, "only tell what would be done", offsetof(struct prune_options, dry_run), NULL },
    { "now", 0, NULL, "delete at once what is not in use", offsetof(struct prune_options, now), NULL },
    { "max-unused", 0, "PERCENT", "write packs again that waste more (20)", offsetof(struct prune_options, max_unused), NULL },
    { "wait", 0, "[SECONDS]", "wait for another prune or repair", offsetof(struct prune_options, wait), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct prune_options *o = opts;
    json_t *report = NULL;
    uint64_t percent = 0, wait_ms = 0;

    (void)args;
    if (o->max_unused && num_parse_u64(o->max_unused, 1, 99, &percent, err) < 0)
        return err_context(err, "option --max-unused"), EXIT_USAGE;
    if (cli_wait(cli, o->wait, &wait_ms, err) < 0)
        return EXIT_USAGE;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    const struct requester_prune job = { .dry_run = o->dry_run, .max_unused_percent = (unsigned)percent, .wait_ms = wait_ms,
                                         .now = o->now };
    r = requester_prune(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_prune);
}

const struct cli_command cmd_prune = {
    .name = "prune",
    .args = "",
    .summary = "give back the space of what was forgotten",
    .about = "Safe beside running backups, also of other hosts: what they may still need is\n"
             "removed by a later prune. What is no longer in use is kept for a day.",
    .options = options,
    .options_size = sizeof(struct prune_options),
    .run = run,
};
