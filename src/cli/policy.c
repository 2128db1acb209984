/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

int policy_apply(struct cli *cli, const struct policy_options *o, char **args, struct requester_policy *ret, char *const **ret_vms,
                 struct err *err)
{
    struct settings *s = &cli->settings;

    if (o->all && *args)
        return cli_usage(err, "--all and the names of VMs exclude each other");
    if (!o->all && !*args)
        return cli_usage(err, "name the VMs, or give --all for all of them");
    if (o->snapshot_dir && o->snapshot_dir[0] != '/')
        return cli_usage(err, "option --snapshot-dir: '%s' is not an absolute path", o->snapshot_dir);
    if (settings_put_first(&s->method, o->method) < 0 || settings_put_first(&s->require, o->require) < 0 ||
        settings_put_first(&s->snapshot_dir, o->snapshot_dir) < 0 || settings_put_first(&s->agent_timeout, o->agent_timeout) < 0)
        return err_set(err, ENOMEM, "out of memory"), EXIT_FAILED;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    *ret = (struct requester_policy){ s->method, s->require };
    *ret_vms = o->all ? NULL : args;
    return EXIT_OK;
}
