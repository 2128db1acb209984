/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy.h"
#include "cli/render.h"

struct backup_options {
    struct policy_options policy;
    bool copy;
};

static const struct cli_option options[] = {
    POLICY_OPTIONS,
    { "copy", 0, NULL, "leave no checkpoint for later backups", offsetof(struct backup_options, copy),
      NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct backup_options *o = opts;
    struct requester_backup job = { .type = o->copy ? "copy" : "full" };
    json_t *report = NULL;

    int code = policy_apply(cli, &o->policy, args, &job.policy, &job.vms, err);
    if (code != EXIT_OK)
        return code;
    int r = requester_backup(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_backup);
}

const struct cli_command cmd_backup = {
    .name = "backup",
    .args = "VM...|--all",
    .summary = "back up VMs, all at one instant",
    .about = "Makes one restore point of all VMs named, all of one instant, or none: if one\n"
             "VM fails, no VM is backed up and each is as it was.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct backup_options),
    .run = run,
};
