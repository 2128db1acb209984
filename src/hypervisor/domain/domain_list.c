/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VMs there are. None is ever left out but one that is gone. */
#include "base/clock.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

#define DESCRIBE_TRIES 6
#define DESCRIBE_WAIT_MS 40u /* then twice as much, each time: 2.5 s in all */

void hv_names_free(struct hv_name *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        free(list[i].name);
        free(list[i].uuid);
    }
    free(list);
}

static int list_before(const void *a, const void *b)
{
    const struct hv_name *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int list_add_name(virDomainPtr handle, struct hv_name *to, struct err *err)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    const char *name = virDomainGetName(handle);

    if (!name || virDomainGetUUIDString(handle, uuid) < 0)
        return hv_virt_error(err, "cannot read a VM's name");
    to->name = strdup(name);
    to->uuid = strdup(uuid);
    return to->name && to->uuid ? 0 : err_nomem(err);
}

int hv_names(struct hv *hv, struct hv_name **ret, size_t *ret_n, struct err *err)
{
    virDomainPtr *handles = NULL;
    int n = virConnectListAllDomains(hv->conn, &handles, 0);

    if (n < 0)
        return hv_virt_error(err, "cannot list the VMs at %s", hv->uri);
    struct hv_name *list = calloc((size_t)n + 1, sizeof(*list));
    int r = list ? 0 : err_nomem(err);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = list_add_name(handles[i], &list[i], err);
        virDomainFree(handles[i]);
    }
    free(handles);
    if (r < 0) {
        hv_names_free(list, (size_t)n);
        return r;
    }
    qsort(list, (size_t)n, sizeof(*list), list_before);
    *ret = list;
    *ret_n = (size_t)n;
    return 0;
}

/* Whether the VM is undefined now, or ended if it was transient. */
static bool list_is_gone(struct hv *hv, virDomainPtr handle)
{
    unsigned char uuid[VIR_UUID_BUFLEN];

    if (virDomainGetUUID(handle, uuid) < 0)
        return false;
    _cleanup_(virDomainFree_p) virDomainPtr now = virDomainLookupByUUID(hv->conn, uuid);
    return !now && hv_virt_code() == VIR_ERR_NO_DOMAIN;
}

/* What one question of several tells may be out of date at the next: a checkpoint that was just deleted, a VM that has just ended. */
int hv_domain_describe(struct hv *hv, virDomainPtr handle, enum hv_depth depth, struct hv_domain **ret, struct err *err)
{
    _cleanup_(virDomainFree_p) virDomainPtr kept __attribute__((unused)) = handle;
    struct err why = ERR_INIT;

    for (unsigned i = 0;; i++) {
        virDomainRef(handle);
        int r = hv_domain_build(hv, handle, depth, ret, &why);
        if (r >= 0)
            return r;
        if (list_is_gone(hv, handle))
            return err_set(err, ENOENT, "VM %s no longer exists at %s", virDomainGetName(handle), hv->uri);
        if (r == -ENOMEM || r == -EINTR || r == -ETIMEDOUT || i == DESCRIBE_TRIES)
            return err_move(err, &why);
        log_debug(hv->log, "VM %s could not be read, trying again: %s", virDomainGetName(handle), why.text);
        err_clear(&why);
        clock_sleep_ms(DESCRIBE_WAIT_MS << i);
    }
}

static int list_by_name(const void *a, const void *b)
{
    const struct hv_domain *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

int hv_list(struct hv *hv, struct hv_domain ***ret, size_t *ret_n, struct err *err)
{
    virDomainPtr *handles = NULL;
    int n = virConnectListAllDomains(hv->conn, &handles, 0);

    if (n < 0)
        return hv_virt_error(err, "cannot list the VMs at %s", hv->uri);
    struct hv_domain **list = calloc((size_t)n + 1, sizeof(struct hv_domain *));
    int r = list ? 0 : err_nomem(err);
    size_t found = 0;
    for (int i = 0; i < n; i++) {
        struct err why = ERR_INIT;
        int one = r < 0 ? -ECANCELED : hv_domain_describe(hv, handles[i], HV_GLANCE, &list[found], &why);
        if (r < 0)
            virDomainFree(handles[i]);
        else if (one >= 0)
            found++;
        else if (one != -ENOENT)
            r = err_move(err, &why);
    }
    free(handles);
    if (r < 0) {
        hv_list_free(list, found);
        return r;
    }
    qsort(list, found, sizeof(struct hv_domain *), list_by_name);
    *ret = list;
    *ret_n = found;
    return 0;
}

void hv_list_free(struct hv_domain **list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        hv_domain_free(list[i]);
    free(list);
}
