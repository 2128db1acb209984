/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/policy_options.h"
#include "cli/render.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

struct backup_options {
    struct policy_options policy;
    const char *type, *freeze_limit, *retries, *bwlimit, *wait, *on_failure, *scratch_limit;
    bool copy, no_writers, no_auto_recovery;
    char **writers;
    const char *compression, *writer_copy_limit, *label, *each;
};

#define EACH_MAX 16 /* each opens the repository with its key, which takes memory */

static const struct cli_option options[] = {
    POLICY_OPTIONS,
    { "type", 't', "TYPE", "auto (default), full, incremental, ...", offsetof(struct backup_options, type),
      "auto|full|incremental|differential|copy" },
    { "copy", 0, NULL, "same as --type copy", offsetof(struct backup_options, copy), NULL },
    { "each", 0, "[N]", "a restore point per VM, N VMs at a time (1)", offsetof(struct backup_options, each), NULL },
    { "label", 0, "TEXT", "a note that is stored with the restore point", offsetof(struct backup_options, label), NULL },
    { "freeze-limit", 0, "SECONDS", "longest time a guest may stay frozen", offsetof(struct backup_options, freeze_limit), NULL },
    { "compression", 0, "LEVEL", "zstd level, 1 (default) to 19, or none", offsetof(struct backup_options, compression), NULL },
    { "retries", 0, "N", "retry up to N times after temporary failures (0)", offsetof(struct backup_options, retries), NULL },
    { "on-failure", 0, "WHAT", "if one VM fails: fail (default), or skip it", offsetof(struct backup_options, on_failure), "fail|skip" },
    { "scratch-limit", 0, "SIZE", "scratch space that one VM may use", offsetof(struct backup_options, scratch_limit), NULL },
    { "bwlimit", 0, "RATE", "limit reading to RATE bytes per second, e.g. 100M", offsetof(struct backup_options, bwlimit), NULL },
    { "wait", 0, "[SECONDS]", "if a VM is in use by another job, wait for it", offsetof(struct backup_options, wait), NULL },
    { "no-auto-recovery", 0, NULL, "leave shadow copies as they are", offsetof(struct backup_options, no_auto_recovery), NULL },
    { "writer", 0, "NAME", "include only this other writer (repeatable)", offsetof(struct backup_options, writers), NULL, .list = true },
    { "no-writers", 0, NULL, "back up only VMs, no other writers", offsetof(struct backup_options, no_writers), NULL },
    { "writer-copy-limit", 0, "SIZE", "limit on the copying of writers' files (2GiB)", offsetof(struct backup_options, writer_copy_limit),
      NULL },
    { NULL },
};

static int put_settings(struct settings *s, const struct backup_options *o, struct err *err)
{
    if (settings_put_first(&s->retries, o->retries) < 0 || settings_put_first(&s->compression, o->compression) < 0 ||
        settings_put_first(&s->freeze_limit, o->freeze_limit) < 0 || settings_put_first(&s->bwlimit, o->bwlimit) < 0 ||
        settings_put_first(&s->on_failure, o->on_failure) < 0 || settings_put_first(&s->scratch_limit, o->scratch_limit) < 0 ||
        settings_put_first(&s->writer_copy_limit, o->writer_copy_limit) < 0)
        return err_nomem(err);
    return 0;
}

/* Which options exclude others. */
static int check_options(const struct backup_options *o, struct err *err)
{
    uint64_t n;

    if (o->copy && o->type && strcmp(o->type, "copy"))
        return cli_usage(err, "--copy and --type %s cannot be combined", o->type);
    if (o->no_writers && o->writers)
        return cli_usage(err, "--no-writers and --writer cannot be combined");
    if (o->each && o->policy.set)
        return cli_usage(err, "--each and --set cannot be combined: a set is backed up at one instant");
    if (o->policy.set && o->on_failure && !strcmp(o->on_failure, "skip"))
        return cli_usage(err, "--set and --on-failure skip cannot be combined: a set is backed up as a whole or not at all");
    if (o->each && *o->each && num_parse_u64(o->each, 1, EACH_MAX, &n, NULL) < 0)
        return cli_usage(err, "--each: '%s' is not a number from 1 to %d", o->each, EACH_MAX);
    return EXIT_OK;
}

static void fill(struct requester_backup *job, const struct cli *cli, const struct backup_options *o, const struct policy_choice *choice)
{
    const struct settings *s = &cli->settings;

    job->policy = choice->policy;
    job->vms = choice->vms;
    job->set = o->policy.set;
    job->label = o->label;
    job->writers = o->writers;
    job->no_writers = o->no_writers;
    job->no_auto_recovery = o->no_auto_recovery;
    job->bytes_per_s = settings_size(s->bwlimit);
    job->retries = s->retries ? (unsigned)strtoul(s->retries, NULL, 10) : 0;
    job->skip_failed = !o->policy.set && s->on_failure && !strcmp(s->on_failure, "skip");
}

static int cmd_backup_run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct backup_options *o = opts;
    struct requester_backup job = { .type = o->copy ? "copy" : o->type };
    json_t *report = NULL;

    if (check_options(o, err) != EXIT_OK)
        return EXIT_USAGE;
    _cleanup_(policy_choice_clear) struct policy_choice choice = { 0 };
    if (cli_wait(cli, o->wait, &job.wait_ms, err) < 0)
        return EXIT_USAGE;
    if (put_settings(&cli->settings, o, err) < 0)
        return EXIT_FAILED;
    int code = policy_apply(cli, &o->policy, args, &choice, err);
    if (code != EXIT_OK)
        return code;
    fill(&job, cli, o, &choice);
    unsigned at_once = o->each && *o->each ? (unsigned)strtoul(o->each, NULL, 10) : 1;
    int r = o->each ? requester_backup_each(cli->rq, &job, at_once, &report, err) : requester_backup(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, o->each ? render_each : render_backup);
}

const struct cli_command cmd_backup = {
    .name = "backup",
    .args = "VM...|--tag NAME|--set NAME|--all",
    .summary = "back up VMs, all at the same instant",
    .about = "Creates one restore point of all VMs named, all as of the same instant. If one\n"
             "VM fails, no VM is backed up and every VM is left as it was. If an earlier\n"
             "restore point left a checkpoint on a VM, only the changes since then are read;\n"
             "the new restore point is still complete and independent of the earlier one.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct backup_options),
    .run = cmd_backup_run,
};
