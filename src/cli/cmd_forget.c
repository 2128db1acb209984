/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/render.h"
#include <limits.h>

struct forget_options {
    const char *last, *hourly, *daily, *weekly, *monthly, *yearly, *vms;
    bool dry_run, prune, now;
};

static const struct cli_option options[] = {
    { "keep-last", 0, "N", "keep the newest N of each VM", offsetof(struct forget_options, last), NULL },
    { "keep-hourly", 0, "N", "the newest of each of N hours that have one", offsetof(struct forget_options, hourly), NULL },
    { "keep-daily", 0, "N", "... of N days", offsetof(struct forget_options, daily), NULL },
    { "keep-weekly", 0, "N", "... of N weeks", offsetof(struct forget_options, weekly), NULL },
    { "keep-monthly", 0, "N", "... of N months", offsetof(struct forget_options, monthly), NULL },
    { "keep-yearly", 0, "N", "... of N years", offsetof(struct forget_options, yearly), NULL },
    { "vm", 0, "VM,...", "remove only what holds no other VMs", offsetof(struct forget_options, vms), NULL },
    { "dry-run", 'n', NULL, "only tell what would be done", offsetof(struct forget_options, dry_run), NULL },
    { "prune", 0, NULL, "and give the space back", offsetof(struct forget_options, prune), NULL },
    { "now", 0, NULL, "with --prune: at once, not after a day", offsetof(struct forget_options, now), NULL },
    { NULL },
};

static int count(const char *value, unsigned *ret, struct err *err)
{
    uint64_t n = 0;
    int r = value ? num_parse_u64(value, 1, UINT_MAX, &n, err) : 0;

    *ret = (unsigned)n;
    return r < 0 ? err_context(err, "a number of restore points to keep") : 0;
}

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct forget_options *o = opts;
    struct requester_forget job = { .points = args, .dry_run = o->dry_run, .prune = o->prune, .now = o->now };
    const struct { const char *value; unsigned *to; } rules[] = {
        { o->last, &job.last }, { o->hourly, &job.hourly }, { o->daily, &job.daily }, { o->weekly, &job.weekly },
        { o->monthly, &job.monthly }, { o->yearly, &job.yearly },
    };
    _cleanup_strv_ char **vms = o->vms ? strv_split(o->vms, ',') : NULL;
    json_t *report = NULL;
    bool any = false;

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        any |= rules[i].value != NULL;
        if (count(rules[i].value, rules[i].to, err) < 0)
            return EXIT_USAGE;
    }
    if (any == (*args != NULL))
        return cli_usage(err, "name restore points, or give --keep-last, --keep-daily ...; not both");
    if (vms && *args)
        return cli_usage(err, "--vm belongs to the rules --keep-...; restore points are removed as a whole");
    if (o->now && !o->prune)
        return cli_usage(err, "--now belongs to --prune");
    job.vms = vms;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_forget(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_forget);
}

const struct cli_command cmd_forget = {
    .name = "forget",
    .args = "[POINT...]",
    .summary = "remove restore points, by name or by rules",
    .about = "The rules hold for each VM by itself: a restore point stays if any of its VMs\n"
             "needs it. Each restore point stands alone, so any may go. The space is given\n"
             "back by kvss prune, or with --prune.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct forget_options),
    .run = run,
};
