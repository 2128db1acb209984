/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include <string.h>

static void render(FILE *f, const json_t *report, bool verbose)
{
    const json_t *vm, *name;
    size_t i, k;

    (void)verbose;
    json_array_foreach(json_object_get(report, "vms"), i, vm) {
        const json_t *dropped = json_object_get(vm, "dropped");
        fprintf(f, "%s: %s\n", json_string_value(json_object_get(vm, "name")),
                json_array_size(dropped) ? "the next backup reads its disks whole; dropped:" : "it has no checkpoint of kvss's.");
        json_array_foreach (dropped, k, name)
            fprintf(f, "  %s\n", json_string_value(name));
    }
}

static int run(struct cli *cli, const void *options, char **args, struct err *err)
{
    json_t *report = NULL;

    (void)options;
    if (strcmp(args[0], "drop"))
        return cli_usage(err, "kvss checkpoint takes drop, not '%s'", args[0]);
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_checkpoint_drop(cli->rq, args + 1, &report, err);
    return cli_finish(cli, r, report, render);
}

const struct cli_command cmd_checkpoint = {
    .name = "checkpoint",
    .args = "drop VM...",
    .summary = "drop the checkpoints that backups left on VMs",
    .about = "A backup leaves a checkpoint on a VM that runs, so that the next one reads only\n"
             "what has changed. drop deletes those of kvss, whatever repository they belong\n"
             "to, while the VM runs, is paused or is off: before virsh snapshot-revert, for\n"
             "instance, which QEMU refuses beside a checkpoint. The next backup is a full one.",
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
