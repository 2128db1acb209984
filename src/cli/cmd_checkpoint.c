/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include <string.h>

static void cmd_checkpoint_render(FILE *f, const json_t *report, bool verbose)
{
    const json_t *vm, *name;
    size_t i, k;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        const json_t *dropped = json_object_get(vm, "dropped");
        fprintf(f, "%s: %s\n", json_string_value(json_object_get(vm, "name")),
                json_array_size(dropped) ? "checkpoints deleted; the next backup reads all disks in full:"
                                         : "has no checkpoints created by kvss");
        json_array_foreach (dropped, k, name)
            fprintf(f, "  %s\n", json_string_value(name));
    }
}

static void cmd_checkpoint_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    (void)cli, (void)opts;
    if (strcmp(args[0], "drop"))
        cli_usage(err, "unknown action '%s': use kvss checkpoint drop VM...", args[0]);
}

static int cmd_checkpoint_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    (void)opts;
    return requester_checkpoint_drop(cli->rq, args + 1, ret, err);
}

const struct cli_command cmd_checkpoint = {
    .name = "checkpoint",
    .args = "drop VM...",
    .summary = "delete the checkpoints that backups left on VMs",
    .about = "A backup leaves a checkpoint on a running VM so that the next backup reads only\n"
             "what has changed. drop deletes all checkpoints created by kvss, for whichever\n"
             "repository, whether the VM is running, paused or off. Use it for example before\n"
             "virsh snapshot-revert, which QEMU refuses while there is a checkpoint. The next\n"
             "backup will be a full one.",
    .min_args = 2,
    .max_args = -1,
    .usage = cmd_checkpoint_usage,
    .job = cmd_checkpoint_job,
    .render = cmd_checkpoint_render,
};
