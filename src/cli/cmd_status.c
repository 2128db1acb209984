/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For people one screen; with --warn or --crit a check for Nagios and its relatives: one line, and their exit codes. */
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/render.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

/* Of a plugin, not of kvss. */
enum { PLUGIN_OK = 0, PLUGIN_WARNING = 1, PLUGIN_CRITICAL = 2, PLUGIN_UNKNOWN = 3 };

struct status_options {
    const char *warn, *crit;
};

static const struct cli_option cmd_status_options[] = {
    { "warn", 0, "AGE", "as a check: warn of older backups, e.g. 26h", offsetof(struct status_options, warn), NULL },
    { "crit", 0, "AGE", "as a check: critical if older, e.g. 50h", offsetof(struct status_options, crit), NULL },
    { NULL },
};

/* 0: not given. */
static int take_age(const char *option, const char *value, int64_t *ret, struct err *err)
{
    *ret = value ? settings_duration(value) : 0;
    if (value && *ret <= 0)
        return err_set(err, EINVAL, "--%s: '%s' is not an age such as 26h, 90m or 2d", option, value);
    return 0;
}

static int take_ages(const struct status_options *o, struct requester_status *job, struct err *err)
{
    int r = take_age("warn", o->warn, &job->warn_s, err);

    if (r >= 0)
        r = take_age("crit", o->crit, &job->crit_s, err);
    if (r >= 0 && o->warn && o->crit && job->warn_s > job->crit_s)
        r = err_set(err, EINVAL, "--warn %s is more than --crit %s", o->warn, o->crit);
    return r;
}

/* One line on standard output: what runs this reads nothing else. With --json the error is printed as it always is. */
static int plugin_fails(const struct cli *cli, struct err *err)
{
    json_t *o = cli->json ? NULL : json_pack("{s:s}", "text", err->text);

    if (cli->json)
        return PLUGIN_UNKNOWN;
    out_clean(o); /* a line */
    printf("KVSS UNKNOWN - %s\n", out_get(o, "text"));
    json_decref(o);
    err_clear(err);
    return PLUGIN_UNKNOWN;
}

static int plugin_code(const json_t *report)
{
    int code = PLUGIN_OK;
    size_t i;
    json_t *p;

    json_array_foreach (json_object_get(report, "problems"), i, p) {
        int of = strcmp(out_get(p, "level"), "critical") ? PLUGIN_WARNING : PLUGIN_CRITICAL;
        code = of > code ? of : code;
    }
    return code;
}

static int run_plugin(struct cli *cli, const struct requester_status *job, struct err *err)
{
    json_t *report = NULL;
    int r = requester_status(cli->rq, job, &report, err);

    if (r < 0 && requester_end(cli->rq) == REQUESTER_INTERRUPTED)
        return EXIT_INTERRUPTED;
    if (r < 0)
        return plugin_fails(cli, err);
    int code = plugin_code(report);
    (void)cli_finish(cli, r, report, render_status_line);
    return code;
}

static int cmd_status_run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct status_options *o = opts;
    struct requester_status job = { .vms = args };
    bool plugin = o->warn || o->crit;
    _cleanup_strv_ char **exclude = NULL;
    json_t *report = NULL;

    int r = take_ages(o, &job, err);
    if (r >= 0 && settings_words(cli->settings.exclude, &exclude) < 0)
        r = err_nomem(err);
    if (r < 0)
        return plugin ? PLUGIN_UNKNOWN : EXIT_USAGE;
    job.exclude = exclude;
    if (cli_prepare(cli, err) < 0)
        return plugin ? PLUGIN_UNKNOWN : EXIT_FAILED;
    if (plugin)
        return run_plugin(cli, &job, err);
    r = requester_status(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_status);
}

const struct cli_command cmd_status = {
    .name = "status",
    .args = "[VM...]",
    .summary = "show the newest backup of each VM, and what needs attention",
    .about = "Shows each VM's newest restore point, its age and consistency, the space of the\n"
             "repository, locks and sessions to recover. With --warn or --crit: one line and\n"
             "exit code 0, 1, 2 or 3, as monitoring systems such as Nagios expect.",
    .max_args = -1,
    .options = cmd_status_options,
    .options_size = sizeof(struct status_options),
    .run = cmd_status_run,
};
