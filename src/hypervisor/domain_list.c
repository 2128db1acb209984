/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VMs there are. */
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>

void hv_names_free(struct hv_name *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++) {
        free(list[i].name);
        free(list[i].uuid);
    }
    free(list);
}

static int before(const void *a, const void *b)
{
    const struct hv_name *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int add_name(virDomainPtr handle, struct hv_name *to, struct err *err)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    const char *name = virDomainGetName(handle);

    if (!name || virDomainGetUUIDString(handle, uuid) < 0)
        return hv_virt_error(err, "cannot read a VM's name");
    to->name = strdup(name);
    to->uuid = strdup(uuid);
    return to->name && to->uuid ? 0 : err_errno(err, ENOMEM, "cannot read the name of VM %s", name);
}

int hv_names(struct hv *hv, struct hv_name **ret, size_t *ret_n, struct err *err)
{
    virDomainPtr *handles = NULL;
    int n = virConnectListAllDomains(hv->conn, &handles, 0);

    if (n < 0)
        return hv_virt_error(err, "cannot list the VMs at %s", hv->uri);
    struct hv_name *list = calloc((size_t)n + 1, sizeof(*list));
    int r = list ? 0 : err_errno(err, ENOMEM, "cannot list the VMs at %s", hv->uri);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = add_name(handles[i], &list[i], err);
        virDomainFree(handles[i]);
    }
    free(handles);
    if (r < 0) {
        hv_names_free(list, (size_t)n);
        return r;
    }
    qsort(list, (size_t)n, sizeof(*list), before);
    *ret = list;
    *ret_n = (size_t)n;
    return 0;
}
