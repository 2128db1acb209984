/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the names that a person gave to VMs. */
#include "base/guid.h"
#include "base/text.h"
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

static int select_leave_out(const struct hv_name *vm, const char *pattern, json_t *list, struct err *err)
{
    _cleanup_free_ char *why = str_format("excluded by %s", pattern);

    if (!why ||
        json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "name", json_text(vm->name), "uuid", vm->uuid, "why", json_text(why))) < 0)
        return err_nomem(err);
    return 0;
}

static int pick_named(const struct hv_name *list, size_t n, char *const *names, const char *uri, char ***uuids, struct err *err)
{
    for (; *names; names++) {
        const struct hv_name *vm = select_find(list, n, *names);
        if (!vm)
            return select_unknown(list, n, *names, uri, err);
        if (!strv_has(*uuids, vm->uuid) && strv_add(uuids, vm->uuid) < 0)
            return err_nomem(err);
    }
    return 0;
}

static int pick_all(const struct hv_name *list, size_t n, char *const *exclude, char ***uuids, json_t *left_out, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *pattern = excluded(&list[i], exclude);
        int r = pattern ? select_leave_out(&list[i], pattern, left_out, err) : strv_add(uuids, list[i].uuid);
        if (r < 0)
            return pattern ? r : err_nomem(err);
    }
    return 0;
}

int select_vms(struct hv *hv, const struct vm_selection *what, char ***ret_uuids, json_t **ret_left_out, struct err *err)
{
    _cleanup_strv_ char **uuids = NULL;
    _cleanup_json_ json_t *left_out = json_array();
    struct hv_name *list = NULL;
    size_t n = 0;

    if (!left_out)
        return err_nomem(err);
    int r = hv_names(hv, &list, &n, err);
    if (r < 0)
        return r;
    r = what->names ? pick_named(list, n, what->names, hv_uri(hv), &uuids, err) : pick_all(list, n, what->exclude, &uuids, left_out, err);
    hv_names_free(list, n);
    if (r < 0)
        return r;
    if (!uuids)
        return err_set(err, ENOENT, "no VMs at %s%s", hv_uri(hv), json_array_size(left_out) ? " except excluded ones" : "");
    *ret_uuids = TAKE_PTR(uuids);
    if (ret_left_out)
        *ret_left_out = TAKE_PTR(left_out);
    return 0;
}
