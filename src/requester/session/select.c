/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the names that a person gave to VMs. */
#include "base/guid.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "requester/session/session.h"
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

static const struct hv_name *select_find(const struct hv_name *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name))
            return &list[i];
    for (size_t i = 0; i < n; i++)
        if (guid_equal(list[i].uuid, name))
            return &list[i];
    return NULL;
}

static int select_unknown(const struct hv_name *list, size_t n, const char *name, const char *uri, struct err *err)
{
    _cleanup_free_ const char **names = calloc(n ? n : 1, sizeof(*names));

    for (size_t i = 0; names && i < n; i++)
        names[i] = list[i].name;
    const char *like = names ? text_similar(name, names, n) : NULL;
    if (like)
        return err_set(err, ENOENT, "no VM '%s' at %s; did you mean '%s'?", name, uri, like);
    return err_set(err, ENOENT, "no VM '%s' at %s (kvss list vms shows the VMs)", name, uri);
}

static bool select_matches(const struct hv_name *vm, const char *pattern)
{
    return fnmatch(pattern, vm->name, 0) == 0 || guid_equal(pattern, vm->uuid);
}

/* The pattern that leaves the VM out; NULL: none. */
static const char *excluded(const struct hv_name *vm, char *const *patterns)
{
    for (char *const *p = patterns; p && *p; p++)
        if (select_matches(vm, *p))
            return *p;
    return NULL;
}

int select_idle_patterns(struct hv *hv, char *const *patterns, char ***ret, struct err *err)
{
    struct hv_name *list = NULL;
    size_t n = 0;

    int r = patterns ? hv_names(hv, &list, &n, err) : 0;
    for (char *const *p = patterns; p && *p && r >= 0; p++) {
        size_t i = 0;
        while (i < n && !select_matches(&list[i], *p))
            i++;
        if (i == n && !strv_has(*ret, *p) && strv_add(ret, *p) < 0)
            r = err_nomem(err);
    }
    hv_names_free(list, n);
    return r;
}

/* 1 and where: the cluster runs it on another node, so that this host has no more of it than an old definition. 0: it does not, as far as
 * is known. */
static int elsewhere(const char *name, const char *uuid, char **ret, struct err *err)
{
    _cleanup_(cluster_vm_clear) struct cluster_vm c = { 0 };
    _cleanup_free_ char *resource = NULL;
    struct err unknown = ERR_INIT; /* where it matters the VM is refused, and that says why */

    if (!cluster_is_configured() || cluster_resource(name, uuid, &resource, &unknown) < 0 || !resource ||
        cluster_ask(name, uuid, &c, &unknown) <= 0 || c.n_active != 1 || !strcmp(c.node, c.here))
        return 0;
    *ret = str_format("runs on node %s of the cluster (resource %s)", c.node, c.resource);
    return *ret ? 1 : err_nomem(err);
}

/* ---- Picking ----------------------------------------------------------------------------------------------------------------*/

struct picking {
    struct hv *hv;
    const struct vm_selection *what;
    struct hv_name *list;
    size_t n;
    char **uuids;
    json_t *left_out;
};

static void picking_clear(struct picking *p)
{
    hv_names_free(p->list, p->n);
    strv_free(p->uuids);
    json_decref(p->left_out);
}

static bool is_pattern(const char *name)
{
    return strpbrk(name, "*?[") != NULL;
}

bool select_is_exact(const struct vm_selection *what)
{
    bool exact = what->names && !what->tags;

    for (char *const *name = what->names; exact && *name; name++)
        exact = !is_pattern(*name);
    return exact;
}

static int select_leave_out(struct picking *p, const struct hv_name *vm, char *why, struct err *err)
{
    size_t i;
    json_t *o;

    if (!why)
        return err_nomem(err);
    json_array_foreach (p->left_out, i, o)
        if (!strcmp(json_get_text(o, "uuid"), vm->uuid))
            return 0;
    return json_array_append_new(p->left_out,
                                 json_pack("{s:o, s:s, s:o}", "name", json_text(vm->name), "uuid", vm->uuid, "why", json_text(why))) < 0
               ? err_nomem(err)
               : 0;
}

/* A VM that is meant with others. *why: it is left out, and for what; caller frees. -ENOENT: it is gone. */
static int why_not(const struct picking *p, const struct hv_name *vm, char **why, struct err *err)
{
    const char *pattern = excluded(vm, p->what->exclude);
    enum hv_state state;

    if (pattern)
        return (*why = str_format("excluded by %s", pattern)) ? 0 : err_nomem(err);
    int r = elsewhere(vm->name, vm->uuid, why, err);
    if (r != 0 || !p->what->states)
        return r < 0 ? r : 0;
    r = hv_state_now(p->hv, vm->uuid, &state, err);
    if (r < 0 || strv_has(p->what->states, hv_state_name(state)))
        return r;
    _cleanup_free_ char *wanted = strv_join(p->what->states, " or ");
    *why = wanted ? str_format("its state is %s, not %s as requested", hv_state_name(state), wanted) : NULL;
    return *why ? 0 : err_nomem(err);
}

static int offer(struct picking *p, const struct hv_name *vm, struct err *err)
{
    _cleanup_free_ char *why = NULL;
    struct err gone = ERR_INIT;

    if (strv_has(p->uuids, vm->uuid))
        return 0;
    int r = why_not(p, vm, &why, &gone);
    if (r < 0)
        return r == -ENOENT ? 0 : err_move(err, &gone);
    if (why)
        return select_leave_out(p, vm, why, err);
    return strv_add(&p->uuids, vm->uuid) < 0 ? err_nomem(err) : 0;
}

static int pick_named(struct picking *p, struct err *err)
{
    for (char *const *name = p->what->names; name && *name; name++) {
        _cleanup_free_ char *where = NULL;
        const struct hv_name *vm = select_find(p->list, p->n, *name);
        int r = elsewhere(vm ? vm->name : *name, vm ? vm->uuid : *name, &where, err);
        if (r > 0)
            return err_set(err, ENOENT, "VM %s %s: run kvss there", vm ? vm->name : *name, where);
        if (r < 0)
            return r;
        if (!vm && !is_pattern(*name))
            return select_unknown(p->list, p->n, *name, hv_uri(p->hv), err);
        if (vm && !strv_has(p->uuids, vm->uuid) && strv_add(&p->uuids, vm->uuid) < 0)
            return err_nomem(err);
    }
    return 0;
}

static int pick_pattern(struct picking *p, const char *pattern, struct err *err)
{
    bool found = false;
    int r = 0;

    for (size_t i = 0; i < p->n && r >= 0; i++)
        if (fnmatch(pattern, p->list[i].name, 0) == 0) {
            found = true;
            r = offer(p, &p->list[i], err);
        }
    return r < 0 || found ? r : err_set(err, ENOENT, "no VM at %s matches '%s' (kvss list vms shows the VMs)", hv_uri(p->hv), pattern);
}

static int pick_tag(struct picking *p, const char *tag, struct err *err)
{
    bool found = false;
    int r = 0;

    for (size_t i = 0; i < p->n && r >= 0; i++) {
        _cleanup_strv_ char **tags = NULL;
        struct err gone = ERR_INIT;
        r = hv_tags(p->hv, p->list[i].uuid, &tags, &gone);
        if (r < 0 && r != -ENOENT)
            return err_move(err, &gone);
        r = 0;
        if (!strv_has(tags, tag))
            continue;
        found = true;
        r = offer(p, &p->list[i], err);
    }
    return r < 0 || found ? r : err_set(err, ENOENT, "no VM at %s has the tag '%s' (kvss list vms shows tags)", hv_uri(p->hv), tag);
}

static int pick_vms(struct picking *p, struct err *err)
{
    const struct vm_selection *what = p->what;
    int r = pick_named(p, err);

    for (char *const *name = what->names; r >= 0 && name && *name; name++)
        if (!select_find(p->list, p->n, *name))
            r = pick_pattern(p, *name, err);
    for (char *const *tag = what->tags; r >= 0 && tag && *tag; tag++)
        r = pick_tag(p, *tag, err);
    for (size_t i = 0; r >= 0 && !what->names && !what->tags && i < p->n; i++)
        r = offer(p, &p->list[i], err);
    return r;
}

int select_vms(struct hv *hv, const struct vm_selection *what, char ***ret_uuids, json_t **ret_left_out, struct err *err)
{
    _cleanup_(picking_clear) struct picking p = { .hv = hv, .what = what, .left_out = json_array() };

    if (!p.left_out)
        return err_nomem(err);
    int r = hv_names(hv, &p.list, &p.n, err);
    if (r >= 0)
        r = pick_vms(&p, err);
    if (r < 0)
        return r;
    if (!p.uuids)
        return err_set(err, ENOENT,
                       !json_array_size(p.left_out) ? "no VMs at %s"
                       : what->states               ? "all VMs selected at %s are excluded or in another state"
                                                    : "all VMs selected at %s are excluded",
                       hv_uri(hv));
    *ret_uuids = TAKE_PTR(p.uuids);
    if (ret_left_out)
        *ret_left_out = TAKE_PTR(p.left_out);
    return 0;
}
