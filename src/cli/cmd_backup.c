/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy.h"
#include "cli/render.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

struct backup_options {
    struct policy_options policy;
    const char *type, *freeze_limit, *retries, *bwlimit, *wait, *on_failure, *scratch_limit;
    bool copy, no_writers;
    char **writers;
    const char *compression, *writer_copy_limit;
};

static const struct cli_option options[] = {
    POLICY_OPTIONS,
    { "type", 't', "TYPE", "auto (default), full, incremental, ...", offsetof(struct backup_options, type),
      "auto|full|incremental|differential|copy" },
    { "copy", 0, NULL, "the same as --type copy", offsetof(struct backup_options, copy), NULL },
    { "freeze-limit", 0, "SECONDS", "how long a guest may be frozen", offsetof(struct backup_options, freeze_limit), NULL },
    { "compression", 0, "LEVEL", "of zstd, 1 (default) to 19, or none", offsetof(struct backup_options, compression), NULL },
    { "retries", 0, "N", "tries after failures that may pass (default 0)", offsetof(struct backup_options, retries), NULL },
    { "on-failure", 0, "WHAT", "of one VM: fail (default), or skip it", offsetof(struct backup_options, on_failure), "fail|skip" },
    { "scratch-limit", 0, "SIZE", "of scratch space that one VM may take", offsetof(struct backup_options, scratch_limit), NULL },
    { "bwlimit", 0, "RATE", "read at most so many bytes per second", offsetof(struct backup_options, bwlimit), NULL },
    { "wait", 0, "[SECONDS]", "wait for others that hold a VM", offsetof(struct backup_options, wait), NULL },
    { "writer", 0, "NAME", "of other writers only this (repeatable)", offsetof(struct backup_options, writers), NULL, .list = true },
    { "no-writers", 0, NULL, "only VMs, no other writers", offsetof(struct backup_options, no_writers), NULL },
    { "writer-copy-limit", 0, "SIZE", "of writers' files copied at most (2GiB)", offsetof(struct backup_options, writer_copy_limit), NULL },
    { NULL },
};

static int put_settings(struct settings *s, const struct backup_options *o, struct err *err)
{
    if (settings_put_first(&s->retries, o->retries) < 0 || settings_put_first(&s->compression, o->compression) < 0 ||
        settings_put_first(&s->freeze_limit, o->freeze_limit) < 0 || settings_put_first(&s->bwlimit, o->bwlimit) < 0 ||
        settings_put_first(&s->on_failure, o->on_failure) < 0 || settings_put_first(&s->scratch_limit, o->scratch_limit) < 0 ||
        settings_put_first(&s->writer_copy_limit, o->writer_copy_limit) < 0)
        return err_set(err, ENOMEM, "out of memory");
    return 0;
}

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct backup_options *o = opts;
    struct requester_backup job = { .type = o->copy ? "copy" : o->type };
    json_t *report = NULL;

    if (o->copy && o->type && strcmp(o->type, "copy"))
        return cli_usage(err, "--copy and --type %s exclude each other", o->type);
    if (o->no_writers && o->writers)
        return cli_usage(err, "--no-writers and --writer exclude each other");
    _cleanup_(policy_choice_clear) struct policy_choice choice = { 0 };
    if (cli_wait(cli, o->wait, &job.wait_ms, err) < 0)
        return EXIT_USAGE;
    if (put_settings(&cli->settings, o, err) < 0)
        return EXIT_FAILED;
    int code = policy_apply(cli, &o->policy, args, &choice, err);
    if (code != EXIT_OK)
        return code;
    job.policy = choice.policy;
    job.vms = choice.vms;
    job.writers = o->writers;
    job.no_writers = o->no_writers;
    job.bytes_per_s = settings_size(cli->settings.bwlimit);
    job.retries = cli->settings.retries ? (unsigned)strtoul(cli->settings.retries, NULL, 10) : 0;
    job.skip_failed = cli->settings.on_failure && !strcmp(cli->settings.on_failure, "skip");
    int r = requester_backup(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_backup);
}

const struct cli_command cmd_backup = {
    .name = "backup",
    .args = "VM...|--all",
    .summary = "back up VMs, all at one instant",
    .about = "Makes one restore point of all VMs named, all of one instant, or none: if one\n"
             "VM fails, no VM is backed up and each is as it was. Where an earlier restore\n"
             "point left a checkpoint on a VM, only what changed since is read; the new\n"
             "restore point stands alone all the same.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct backup_options),
    .run = run,
};
