/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/session/policy.h"
#include "base/guid.h"
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

struct word {
    const char *name;
    int value;
};

static int parse_word(const struct word *words, const char *name, const char *what, int *ret, struct err *err)
{
    _cleanup_buf_ struct buf all = BUF_INIT;

    if (!name)
        return 0;
    for (const struct word *w = words; w->name; w++) {
        if (!strcmp(w->name, name)) {
            *ret = w->value;
            return 0;
        }
        buf_addf(&all, "%s%s", all.len ? w[1].name ? ", " : " or " : "", w->name);
    }
    return err_set(err, EINVAL, "unknown %s '%s': use %s", what, name, all.data ? (const char *)all.data : "");
}

/* Words that are not given leave *p as it is. */
static int policy_parse(const char *method, const char *require, const char *fallback, struct vm_policy *p, struct err *err)
{
    static const struct word methods[] = {
        { "auto", VM_METHOD_AUTO },       { "child", VM_METHOD_CHILD }, { "saved-state", VM_METHOD_SAVED },
        { "live-state", VM_METHOD_LIVE }, { "crash", VM_METHOD_CRASH }, { NULL, 0 },
    };
    static const struct word levels[] = {
        { "application", VM_LEVEL_APPLICATION },
        { "file-system", VM_LEVEL_FILE_SYSTEM },
        { "saved-state", VM_LEVEL_SAVED_STATE },
        { NULL, 0 },
    };
    static const struct word fallbacks[] = {
        { "auto", VM_FALLBACK_AUTO }, { "saved-state", VM_FALLBACK_SAVED },       { "crash", VM_FALLBACK_CRASH },
        { "fail", VM_FALLBACK_FAIL }, { "file-system", VM_FALLBACK_FILE_SYSTEM }, { NULL, 0 },
    };
    int m = (int)p->method, l = (int)p->require, f = (int)p->fallback;

    int r = parse_word(methods, method, "method", &m, err);
    if (r >= 0)
        r = parse_word(levels, require, "requirement", &l, err);
    if (r >= 0)
        r = parse_word(fallbacks, fallback, "fallback", &f, err);
    if (r < 0)
        return r;
    p->method = (enum vm_method)m;
    p->require = (enum vm_level)l;
    p->fallback = (enum vm_fallback)f;
    return 0;
}

struct vm_selection policy_selection(char *const *names, const struct requester_policy *policy)
{
    return (struct vm_selection){ .names = names, .exclude = policy->exclude, .tags = policy->tags, .states = policy->states };
}

void policies_clear(struct policies *p)
{
    for (size_t i = 0; i < p->n_learnt; i++) {
        free(p->learnt[i].uuid);
        free(p->learnt[i].why);
    }
    free(p->learnt);
    free(p->of);
    *p = (struct policies){ 0 };
}

int policies_parse(const struct requester_policy *policy, struct policies *ret, struct err *err)
{
    _cleanup_(policies_clear) struct policies p = { 0 };

    p.all.live_state = policy->live_state;
    p.exclude_disks = policy->exclude_disks;
    int r = policy_parse(policy->method, policy->require, policy->fallback, &p.all, err);
    if (r < 0)
        return r;
    p.of = calloc(policy->n_vms + 1, sizeof(*p.of));
    if (!p.of)
        return err_nomem(err);
    for (; p.n < policy->n_vms; p.n++) {
        const struct requester_vm_policy *v = &policy->vms[p.n];
        p.of[p.n] = (struct policy_of){ v->vm, p.all };
        r = policy_parse(v->method, v->require, v->fallback, &p.of[p.n].policy, err);
        if (r < 0)
            return err_context(err, "VM %s", v->vm);
    }
    *ret = p;
    p = (struct policies){ 0 };
    return 0;
}

struct vm_policy policies_find(void *priv, const char *name, const char *uuid)
{
    const struct policies *p = priv;
    struct vm_policy found = p->all;

    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->of[i].vm, name) || guid_equal(p->of[i].vm, uuid)) {
            found = p->of[i].policy;
            break;
        }
    for (size_t i = 0; i < p->n_learnt; i++)
        if (guid_equal(p->learnt[i].uuid, uuid))
            found.not_quiesced = p->learnt[i].why;
    return found;
}

bool policy_pattern_has(const char *pattern, const char *name, const char *uuid, const char *target, bool *ret_vm)
{
    const char *colon = strrchr(pattern, ':');
    _cleanup_free_ char *vm = colon ? strndup(pattern, (size_t)(colon - pattern)) : NULL;

    *ret_vm = vm && (!strcmp(vm, name) || guid_equal(vm, uuid) || fnmatch(vm, name, 0) == 0);
    return *ret_vm && fnmatch(colon + 1, target, 0) == 0;
}

const char *policies_excluded(void *priv, const char *name, const char *uuid, const char *target)
{
    const struct policies *p = priv;
    bool vm;

    for (char *const *pattern = p->exclude_disks; pattern && *pattern; pattern++)
        if (policy_pattern_has(*pattern, name, uuid, target, &vm))
            return *pattern;
    return NULL;
}

bool policy_may_fall_back(const struct vm_policy *p, bool guest_refused)
{
    enum vm_level worth = p->fallback == VM_FALLBACK_CRASH ? VM_LEVEL_CRASH : VM_LEVEL_SAVED_STATE;
    bool falls = p->fallback == VM_FALLBACK_SAVED || p->fallback == VM_FALLBACK_CRASH;

    if (p->fallback == VM_FALLBACK_FILE_SYSTEM)
        return guest_refused && p->require <= VM_LEVEL_FILE_SYSTEM && !p->not_quiesced;
    return p->method == VM_METHOD_AUTO && falls && p->require <= worth && !p->not_quiesced;
}

int policies_learn(struct policies *p, const char *uuid, const char *why, struct err *err)
{
    struct policy_learnt *more = reallocarray(p->learnt, p->n_learnt + 1, sizeof(*more));
    if (!more)
        return err_nomem(err);
    p->learnt = more;
    struct policy_learnt *l = &more[p->n_learnt++];
    *l = (struct policy_learnt){ strdup(uuid), strdup(why) };
    return l->uuid && l->why ? 0 : err_nomem(err);
}
