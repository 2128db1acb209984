/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy.h"
#include "cli/render.h"

struct check_options {
    struct policy_options policy;
    bool try_freeze;
};

static const struct cli_option options[] = {
    POLICY_OPTIONS,
    { "try-freeze", 0, NULL, "freeze running guests for real, and thaw them", offsetof(struct check_options, try_freeze), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    _cleanup_(policy_choice_clear) struct policy_choice choice = { 0 };
    json_t *report = NULL;

    const struct check_options *o = opts;
    int code = policy_apply(cli, &o->policy, args, &choice, err);
    if (code != EXIT_OK)
        return code;
    const struct requester_check job = { .vms = choice.vms, .policy = choice.policy, .try_freeze = o->try_freeze };
    int r = requester_check(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_check);
}

const struct cli_command cmd_check = {
    .name = "check",
    .args = "VM...|--all",
    .summary = "tell how VMs would be backed up, and why",
    .about = "Nothing is touched. For each VM: the method, what the backup would be worth,\n"
             "the five conditions of Child VM Snapshot with the reason and the remedy where\n"
             "one fails, and the disks; then what else stands in the way of a backup, and the\n"
             "remedy. Exit code 3 if a backup would be refused or would fail.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct check_options),
    .run = run,
};
