/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/num.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/render.h"
#include <limits.h>

struct forget_options {
    const char *last, *hourly, *daily, *weekly, *monthly, *yearly, *vms, *label;
    bool dry_run, prune, now;
};

static const struct cli_option options[] = {
    { "keep-last", 0, "N", "keep the newest N of each VM", offsetof(struct forget_options, last), NULL },
    { "keep-hourly", 0, "N", "... of each of the last N hours that have one", offsetof(struct forget_options, hourly), NULL },
    { "keep-daily", 0, "N", "... of each of the last N days", offsetof(struct forget_options, daily), NULL },
    { "keep-weekly", 0, "N", "... of each of the last N weeks", offsetof(struct forget_options, weekly), NULL },
    { "keep-monthly", 0, "N", "... of each of the last N months", offsetof(struct forget_options, monthly), NULL },
    { "keep-yearly", 0, "N", "... of each of the last N years", offsetof(struct forget_options, yearly), NULL },
    { "vm", 0, "VM,...", "only restore points that contain no other VMs", offsetof(struct forget_options, vms), NULL },
    { "label", 0, "PATTERN", "only restore points with such a label", offsetof(struct forget_options, label), NULL },
    { "dry-run", 'n', NULL, "only show what would be removed", offsetof(struct forget_options, dry_run), NULL },
    { "prune", 0, NULL, "then prune, to free the space", offsetof(struct forget_options, prune), NULL },
    { "now", 0, NULL, "with --prune: free unused data now, not in a day", offsetof(struct forget_options, now), NULL },
    { NULL },
};

static int cmd_forget_count(const char *option, const char *value, unsigned *ret, struct err *err)
{
    uint64_t n = 0;
    int r = value ? num_parse_u64(value, 1, UINT_MAX, &n, err) : 0;

    *ret = (unsigned)n;
    return r < 0 ? err_context(err, "option --%s", option) : 0;
}

static int cmd_forget_run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct forget_options *o = opts;
    struct requester_forget job = { .points = args, .dry_run = o->dry_run, .prune = o->prune, .now = o->now, .label = o->label };
    const struct {
        const char *option, *value;
        unsigned *to;
    } rules[] = {
        { "keep-last", o->last, &job.last },       { "keep-hourly", o->hourly, &job.hourly },    { "keep-daily", o->daily, &job.daily },
        { "keep-weekly", o->weekly, &job.weekly }, { "keep-monthly", o->monthly, &job.monthly }, { "keep-yearly", o->yearly, &job.yearly },
    };
    _cleanup_strv_ char **vms = o->vms ? strv_split(o->vms, ',') : NULL;
    json_t *report = NULL;
    bool any = false;

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        any |= rules[i].value != NULL;
        if (cmd_forget_count(rules[i].option, rules[i].value, rules[i].to, err) < 0)
            return EXIT_USAGE;
    }
    if (any && *args)
        return cli_usage(err, "--keep-... rules cannot be combined with restore points named on the command line");
    if (!any && !*args)
        return cli_usage(err, "nothing to do: name the restore points to remove, or give a --keep-... rule");
    if (vms && *args)
        return cli_usage(err, "--vm works only with the --keep-... rules; a restore point is always removed with all of its VMs");
    if (o->label && *args)
        return cli_usage(err, "--label works only with the --keep-... rules");
    if (o->now && !o->prune)
        return cli_usage(err, "--now works only with --prune");
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
    .summary = "remove restore points, by ID or by retention rules",
    .about = "The rules apply to each VM separately: a restore point is kept if any of its VMs\n"
             "needs it. Restore points do not depend on each other, so any can be removed. To\n"
             "free their space run kvss prune, or use --prune.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct forget_options),
    .run = cmd_forget_run,
};
