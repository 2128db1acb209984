/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/policy_options.h"
#include "base/buf.h"
#include "base/strv.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

void policy_choice_clear(struct policy_choice *c)
{
    free(c->vms_policies);
    strv_free(c->exclude);
    strv_free(c->exclude_disks);
    strv_free(c->tags);
    strv_free(c->names);
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

int policy_of_settings(struct cli *cli, struct policy_choice *ret, struct err *err)
{
    const struct policy_options none = { 0 };

    return options_choose(&cli->settings, &none, ret, err);
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

/* NAME of [vm NAME] as a pattern that stands for nothing but it, with the disk: "web\\*1:vdb". */
static int add_vm_disk(char ***list, const char *vm, const char *disk)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = 0;

    for (; *vm && r >= 0; vm++)
        r = buf_addf(&b, "%s%c", strchr("*?[\\", *vm) ? "\\" : "", *vm);
    if (r >= 0)
        r = buf_addf(&b, ":%s", disk);
    return r < 0 ? r : strv_add(list, (const char *)b.data);
}

static int take_exclude_disks(const struct settings *s, const struct policy_options *o, struct policy_choice *ret, struct err *err)
{
    int r = 0;

    for (char **x = o->exclude_disks; r >= 0 && x && *x; x++)
        r = strv_add(&ret->exclude_disks, *x);
    if (r >= 0)
        r = settings_words(s->exclude_disk, &ret->exclude_disks);
    for (size_t i = 0; i < s->n_vms && r >= 0; i++) {
        _cleanup_strv_ char **disks = NULL;
        r = settings_words(s->vms[i].exclude_disk, &disks);
        for (char **d = disks; r >= 0 && d && *d; d++)
            r = add_vm_disk(&ret->exclude_disks, s->vms[i].vm, *d);
    }
    ret->policy.exclude_disks = ret->exclude_disks;
    return r < 0 ? err_nomem(err) : 0;
}

/* The VMs of [set NAME]. */
static int take_set(const struct settings *s, const char *name, struct policy_choice *ret, struct err *err)
{
    const struct set_settings *set = NULL;

    for (size_t i = 0; i < s->n_sets && !set; i++)
        set = strcmp(s->sets[i].name, name) ? NULL : &s->sets[i];
    if (!set)
        return cli_usage(err, "kvss.conf has no section [set %s]", name);
    if (settings_words(set->vms, &ret->names) < 0 || settings_words(set->tags, &ret->tags) < 0 ||
        settings_words(set->exclude, &ret->exclude) < 0)
        return err_nomem(err), EXIT_FAILED;
    if (!ret->names && !ret->tags)
        return cli_usage(err, "[set %s] in kvss.conf names no VMs: set vms or tags there", name);
    ret->policy.exclude = ret->exclude;
    ret->policy.tags = ret->tags;
    ret->vms = ret->names;
    return EXIT_OK;
}

/* Of what options say on which VMs are meant. */
static int check_choice(const struct policy_options *o, char **args, struct err *err)
{
    bool open = o->all || o->tags;

    for (char **a = args; *a && !open; a++)
        open = strpbrk(*a, "*?[") != NULL;
    if (o->set && (o->all || o->tags || *args || o->exclude || o->states))
        return cli_usage(err, "--set cannot be combined with VM names, --all, --tag, --state or --exclude");
    if (o->all && (*args || o->tags))
        return cli_usage(err, "--all cannot be combined with %s", *args ? "VM names" : "--tag");
    if (!o->all && !o->tags && !o->set && !*args)
        return cli_usage(err, "no VMs given: name the VMs, or use --all, --tag or --set");
    if (o->exclude && !open)
        return cli_usage(err, "--exclude works only with --all, --tag or a pattern such as 'web*'");
    if (o->states && !open)
        return cli_usage(err, "--state works only with --all, --tag or a pattern such as 'web*'");
    for (char **d = o->exclude_disks; d && *d; d++)
        if (!settings_is_disk(*d))
            return cli_usage(err, "--exclude-disk: '%s' is not VM:DISK, for example web01:vdb", *d);
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
    if (r >= 0)
        r = take_exclude_disks(s, o, ret, err);
    if (r < 0)
        return EXIT_FAILED;
    ret->policy.tags = o->tags;
    ret->policy.states = o->states;
    ret->vms = *args ? args : NULL;
    return o->set ? take_set(s, o->set, ret, err) : EXIT_OK;
}
