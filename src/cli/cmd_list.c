/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"
#include <string.h>

struct list_options {
    const char *label;
};

static const struct cli_option cmd_list_options[] = {
    { "label", 0, "PATTERN", "with points: only those with such a label", offsetof(struct list_options, label), NULL },
    { NULL },
};

static int points(struct cli *cli, const struct list_options *o, char **args, json_t **ret, struct err *err)
{
    return requester_list_points(cli->rq, args[1], o->label, ret, err);
}

static int cmd_list_writers(struct cli *cli, const struct list_options *o, char **args, json_t **ret, struct err *err)
{
    (void)o, (void)args;
    return requester_list_writers(cli->rq, ret, err);
}

static int providers(struct cli *cli, const struct list_options *o, char **args, json_t **ret, struct err *err)
{
    (void)o, (void)args;
    return requester_list_providers(cli->rq, ret, err);
}

static int vms(struct cli *cli, const struct list_options *o, char **args, json_t **ret, struct err *err)
{
    (void)o, (void)args;
    return requester_list_vms(cli->rq, ret, err);
}

static int hosts(struct cli *cli, const struct list_options *o, char **args, json_t **ret, struct err *err)
{
    (void)o, (void)args;
    return requester_list_hosts(cli->rq, ret, err);
}

static const struct {
    const char *name;
    int (*list)(struct cli *cli, const struct list_options *o, char **args, json_t **ret, struct err *err);
    render_fn *render;
    int max_args;
} lists[] = {
    { "writers", cmd_list_writers, render_writers, 1 },
    { "providers", providers, render_providers, 1 },
    { "vms", vms, render_vms, 1 },
    { "points", points, render_points, 2 },
    { "hosts", hosts, render_hosts, 1 },
};

static int cmd_list_run(struct cli *cli, const void *options, char **args, struct err *err)
{
    const struct list_options *o = options;
    json_t *report = NULL;
    size_t i = 0;

    while (i < ARRAY_SIZE(lists) && strcmp(lists[i].name, args[0]))
        i++;
    if (i == ARRAY_SIZE(lists))
        return cli_usage(err, "cannot list '%s': use kvss list writers, providers, vms, points or hosts", args[0]);
    if (lists[i].max_args == 1 && args[1])
        return cli_usage(err, "too many arguments for kvss list %s", args[0]);
    if (o->label && strcmp(args[0], "points"))
        return cli_usage(err, "--label works only with kvss list points");
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = lists[i].list(cli, o, args, &report, err);
    return cli_finish(cli, r, report, lists[i].render);
}

const struct cli_command cmd_list = {
    .name = "list",
    .args = "writers|providers|vms|points [VM]|hosts",
    .summary = "list writers, providers, VMs, restore points or hosts",
    .about = "points VM lists only the restore points that contain VM. hosts lists the hosts\n"
             "that sign their changes to the repository.",
    .min_args = 1,
    .max_args = 2,
    .options = cmd_list_options,
    .options_size = sizeof(struct list_options),
    .run = cmd_list_run,
};
