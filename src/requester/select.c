/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the names that a person gave to VMs. */
#include "base/guid.h"
#include "requester/internal.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define NAME_MAX_COMPARED 64

/* Levenshtein distance, case ignored, of the first NAME_MAX_COMPARED characters. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strnlen(b, NAME_MAX_COMPARED), row[NAME_MAX_COMPARED + 1];

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i] && i < NAME_MAX_COMPARED; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);
            size_t cost = diagonal + !same;
            diagonal = row[j + 1];
            if (row[j] + 1 < cost)
                cost = row[j] + 1;
            if (row[j + 1] + 1 < cost)
                cost = row[j + 1] + 1;
            row[j + 1] = cost;
        }
    }
    return row[n];
}

const char *requester_similar(const char *name, const char *const *candidates, size_t n)
{
    size_t best = strlen(name) / 3 + 1; /* about a third of the letters may be wrong */
    const char *ret = NULL;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, candidates[i]);
        if (d < best || (d == best && !ret)) {
            best = d;
            ret = candidates[i];
        }
    }
    return ret;
}

static const struct hv_domain *find(struct hv_domain *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i]->name, name))
            return list[i];
    for (size_t i = 0; i < n; i++)
        if (guid_equal(list[i]->uuid, name))
            return list[i];
    return NULL;
}

static int unknown(struct hv_domain *const *list, size_t n, const char *name, const char *uri, struct err *err)
{
    _cleanup_free_ const char **names = calloc(n ? n : 1, sizeof(*names));

    for (size_t i = 0; names && i < n; i++)
        names[i] = list[i]->name;
    const char *like = names ? requester_similar(name, names, n) : NULL;
    if (like)
        return err_set(err, ENOENT, "there is no VM '%s' at %s; did you mean '%s'?", name, uri, like);
    return err_set(err, ENOENT, "there is no VM '%s' at %s (kvss list vms shows which there are)", name, uri);
}

static int pick(struct hv_domain *const *list, size_t n, char *const *names, const char *uri, char ***uuids, struct err *err)
{
    for (size_t i = 0; names ? names[i] != NULL : i < n; i++) {
        const struct hv_domain *d = names ? find(list, n, names[i]) : list[i];
        if (!d)
            return unknown(list, n, names[i], uri, err);
        if (!strv_has(*uuids, d->uuid) && strv_add(uuids, d->uuid) < 0)
            return err_set(err, ENOMEM, "out of memory");
    }
    return *uuids ? 0 : err_set(err, ENOENT, "there are no VMs at %s", uri);
}

int select_vms(struct hv *hv, char *const *names, char ***ret_uuids, struct err *err)
{
    _cleanup_strv_ char **uuids = NULL;
    struct hv_domain **list = NULL;
    size_t n = 0;

    int r = hv_list(hv, &list, &n, err);
    if (r < 0)
        return r;
    r = pick(list, n, names, hv_uri(hv), &uuids, err);
    hv_list_free(list, n);
    if (r < 0)
        return r;
    *ret_uuids = TAKE_PTR(uuids);
    return 0;
}
