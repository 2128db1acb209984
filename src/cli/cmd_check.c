/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy.h"
#include "cli/render.h"

static const struct cli_option options[] = {
    POLICY_OPTIONS,
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    _cleanup_(policy_choice_clear) struct policy_choice choice = { 0 };
    json_t *report = NULL;

    int code = policy_apply(cli, opts, args, &choice, err);
    if (code != EXIT_OK)
        return code;
    int r = requester_check(cli->rq, choice.vms, &choice.policy, &report, err);
    return cli_finish(cli, r, report, render_check);
}

const struct cli_command cmd_check = {
    .name = "check",
    .args = "VM...|--all",
    .summary = "tell how VMs would be backed up, and why",
    .about = "Nothing is touched. For each VM: the method, what the backup would be worth,\n"
             "the five conditions of Child VM Snapshot with the reason and the remedy where\n"
             "one fails, and the disks. Exit code 3 if a backup would be refused.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct policy_options),
    .run = run,
};
