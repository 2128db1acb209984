/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

void policy_choice_clear(struct policy_choice *c)
{
    free(c->vms_policies);
    *c = (struct policy_choice){ 0 };
}

static int choose(const struct settings *s, const struct policy_options *o, struct policy_choice *ret, struct err *err)
{
    struct requester_vm_policy *v = calloc(s->n_vms + 1, sizeof(*v));

    if (!v)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < s->n_vms; i++)
        v[i] = (struct requester_vm_policy){
            .vm = s->vms[i].vm,
            .method = o->method ? NULL : s->vms[i].method,
            .require = o->require ? NULL : s->vms[i].require,
            .fallback = o->fallback ? NULL : s->vms[i].fallback,
        };
    ret->vms_policies = v;
    ret->policy = (struct requester_policy){
        .method = s->method, .require = s->require, .fallback = s->fallback, .n_vms = s->n_vms, .vms = v,
    };
    return 0;
}

int policy_apply(struct cli *cli, const struct policy_options *o, char **args, struct policy_choice *ret, struct err *err)
{
    struct settings *s = &cli->settings;

    if (o->all && *args)
        return cli_usage(err, "--all and the names of VMs exclude each other");
    if (!o->all && !*args)
        return cli_usage(err, "name the VMs, or give --all for all of them");
    if (o->snapshot_dir && o->snapshot_dir[0] != '/')
        return cli_usage(err, "option --snapshot-dir: '%s' is not an absolute path", o->snapshot_dir);
    if (settings_put_first(&s->method, o->method) < 0 || settings_put_first(&s->require, o->require) < 0 ||
        settings_put_first(&s->fallback, o->fallback) < 0 || settings_put_first(&s->snapshot_dir, o->snapshot_dir) < 0 ||
        settings_put_first(&s->scratch_reserve, o->scratch_reserve) < 0 || settings_put_first(&s->agent_timeout, o->agent_timeout) < 0)
        return err_set(err, ENOMEM, "out of memory"), EXIT_FAILED;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    r = choose(s, o, ret, err);
    if (r < 0)
        return EXIT_FAILED;
    ret->vms = o->all ? NULL : args;
    return EXIT_OK;
}
