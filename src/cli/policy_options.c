/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy_options.h"
#include "base/strv.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

void policy_choice_clear(struct policy_choice *c)
{
    free(c->vms_policies);
    strv_free(c->exclude);
    *c = (struct policy_choice){ 0 };
}

static int options_choose(const struct settings *s, const struct policy_options *o, struct policy_choice *ret, struct err *err)
{
    struct requester_vm_policy *v = calloc(s->n_vms + 1, sizeof(*v));

    if (!v)
        return err_nomem(err);
    for (size_t i = 0; i < s->n_vms; i++)
        v[i] = (struct requester_vm_policy){
            .vm = s->vms[i].vm,
            .method = o->method ? NULL : s->vms[i].method,
            .require = o->require ? NULL : s->vms[i].require,
            .fallback = o->fallback ? NULL : s->vms[i].fallback,
        };
    ret->vms_policies = v;
    ret->policy = (struct requester_policy){
        .method = s->method,
        .require = s->require,
        .fallback = s->fallback,
        .live_state = s->live_state && !strcmp(s->live_state, "yes"),
        .provider = s->provider,
        .n_vms = s->n_vms,
        .vms = v,
    };
    return 0;
}

/* What is excluded by option is so beside what the settings exclude: that is said of this host, and meant for every run. */
static int take_exclude(const struct settings *s, const struct policy_options *o, struct policy_choice *ret, struct err *err)
{
    int r = 0;

    for (char **x = o->exclude; r >= 0 && x && *x; x++)
        r = strv_add(&ret->exclude, *x);
    if (r >= 0)
        r = settings_words(s->exclude, &ret->exclude);
    ret->policy.exclude = ret->exclude;
    return r < 0 ? err_nomem(err) : 0;
}

/* Of what options say on which VMs are meant. */
static int check_choice(const struct policy_options *o, char **args, struct err *err)
{
    bool open = o->all || o->tags;

    for (char **a = args; *a && !open; a++)
        open = strpbrk(*a, "*?[") != NULL;
    if (o->all && (*args || o->tags))
        return cli_usage(err, "--all cannot be combined with %s", *args ? "VM names" : "--tag");
    if (!o->all && !o->tags && !*args)
        return cli_usage(err, "no VMs given: name the VMs, or use --all or --tag");
    if (o->exclude && !open)
        return cli_usage(err, "--exclude works only with --all, --tag or a pattern such as 'web*'");
    if (o->states && !open)
        return cli_usage(err, "--state works only with --all, --tag or a pattern such as 'web*'");
    return EXIT_OK;
}

int policy_apply(struct cli *cli, const struct policy_options *o, char **args, struct policy_choice *ret, struct err *err)
{
    struct settings *s = &cli->settings;

    if (check_choice(o, args, err) != EXIT_OK)
        return EXIT_USAGE;
    if (o->snapshot_dir && o->snapshot_dir[0] != '/')
        return cli_usage(err, "--snapshot-dir: '%s' is not an absolute path", o->snapshot_dir);
    if (settings_put_first(&s->method, o->method) < 0 || settings_put_first(&s->require, o->require) < 0 ||
        settings_put_first(&s->fallback, o->fallback) < 0 || settings_put_first(&s->provider, o->provider) < 0 ||
        settings_put_first(&s->snapshot_dir, o->snapshot_dir) < 0 || settings_put_first(&s->scratch_reserve, o->scratch_reserve) < 0 ||
        settings_put_first(&s->agent_timeout, o->agent_timeout) < 0)
        return err_nomem(err), EXIT_FAILED;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    r = options_choose(s, o, ret, err);
    if (r >= 0)
        r = take_exclude(s, o, ret, err);
    if (r < 0)
        return EXIT_FAILED;
    ret->policy.tags = o->tags;
    ret->policy.states = o->states;
    ret->vms = *args ? args : NULL;
    return EXIT_OK;
}
