/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/out.h"
#include <string.h>

static void cmd_tag_render(FILE *f, const json_t *report, bool verbose)
{
    const json_t *vm, *tag;
    size_t i, k;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        fprintf(f, "%s:%s", out_get(vm, "name"), json_array_size(json_object_get(vm, "tags")) ? "" : " no tags");
        json_array_foreach (json_object_get(vm, "tags"), k, tag)
            fprintf(f, " %s", json_string_value(tag));
        fputc('\n', f);
    }
}

static void cmd_tag_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    bool list = !strcmp(args[1], "list");

    (void)cli, (void)opts;
    if (!list && strcmp(args[1], "add") && strcmp(args[1], "remove"))
        cli_usage(err, "unknown action '%s': use kvss tag VM add TAG..., kvss tag VM remove TAG... or kvss tag VM list", args[1]);
    else if (list && args[2])
        cli_usage(err, "too many arguments for kvss tag VM list");
    else if (!list && !args[2])
        cli_usage(err, "missing argument: kvss tag %s %s TAG...", args[0], args[1]);
}

static int cmd_tag_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    char *const vms[] = { args[0], NULL };
    const struct requester_tag job = {
        .vms = vms,
        .add = strcmp(args[1], "add") ? NULL : args + 2,
        .remove = strcmp(args[1], "remove") ? NULL : args + 2,
    };

    (void)opts;
    return requester_tag(cli->rq, &job, ret, err);
}

const struct cli_command cmd_tag = {
    .name = "tag",
    .args = "VM add|remove|list [TAG...]",
    .summary = "add, remove or list tags of VMs, by which backups choose them",
    .about = "Tags are stored in libvirt's own metadata of the VM. kvss backup --tag NAME\n"
             "backs up the VMs that have one. VM may be a pattern such as 'web*'.",
    .min_args = 2,
    .max_args = -1,
    .usage = cmd_tag_usage,
    .job = cmd_tag_job,
    .render = cmd_tag_render,
};
