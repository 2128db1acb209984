/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy_options.h"
#include "cli/render.h"
#include "cli/settings.h"

struct check_options {
    struct policy_options policy;
    const char *freeze_limit;
    bool try_freeze;
};

static const struct cli_option options[] = {
    POLICY_OPTIONS,
    { "freeze-limit", 0, "SECONDS", "longest time a guest may stay frozen", offsetof(struct check_options, freeze_limit), NULL },
    { "try-freeze", 0, NULL, "really freeze running guests, then thaw them", offsetof(struct check_options, try_freeze), NULL },
    { NULL },
};

static int cmd_check_run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    _cleanup_(policy_choice_clear) struct policy_choice choice = { 0 };
    json_t *report = NULL;

    const struct check_options *o = opts;
    if (settings_put_first(&cli->settings.freeze_limit, o->freeze_limit) < 0) {
        (void)err_nomem(err);
        return EXIT_FAILED;
    }
    int code = policy_apply(cli, &o->policy, args, &choice, err);
    if (code != EXIT_OK)
        return code;
    const struct requester_check job = { .vms = choice.vms, .policy = choice.policy, .try_freeze = o->try_freeze };
    int r = requester_check(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_check);
}

const struct cli_command cmd_check = {
    .name = "check",
    .args = "VM...|--tag NAME|--set NAME|--all",
    .summary = "preview how VMs would be backed up, and what stands in the way",
    .about = "Changes nothing. Shows for each VM the backup method, the resulting consistency,\n"
             "the five conditions of Child VM Snapshot (with reason and remedy for each that\n"
             "fails) and the disks, followed by everything else that would keep a backup from\n"
             "succeeding. Exit code 3 if a backup would be refused or would fail.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct check_options),
    .run = cmd_check_run,
};
