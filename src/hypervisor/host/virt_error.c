/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's errors as ours. */
#include "hypervisor/host/hv_internal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    int virt, code;
} errno_of[] = {
    { VIR_ERR_NO_MEMORY, ENOMEM },
    { VIR_ERR_NO_DOMAIN, ENOENT },
    { VIR_ERR_NO_DOMAIN_CHECKPOINT, ENOENT },
    { VIR_ERR_NO_DOMAIN_BACKUP, ENOENT },
    { VIR_ERR_NO_NETWORK, ENOENT },
    { VIR_ERR_NO_STORAGE_POOL, ENOENT },
    { VIR_ERR_NO_STORAGE_VOL, ENOENT },
    { VIR_ERR_NO_NODE_DEVICE, ENOENT },
    { VIR_ERR_AGENT_UNRESPONSIVE, ETIMEDOUT },
    { VIR_ERR_AGENT_UNSYNCED, ETIMEDOUT },
    /* "cannot acquire state change lock (held by ...)": another job holds the VM. */
    { VIR_ERR_OPERATION_TIMEOUT, EBUSY },
    { VIR_ERR_RESOURCE_BUSY, EBUSY },
    { VIR_ERR_NO_SUPPORT, EOPNOTSUPP },
    { VIR_ERR_OPERATION_UNSUPPORTED, EOPNOTSUPP },
    { VIR_ERR_ARGUMENT_UNSUPPORTED, EOPNOTSUPP },
    { VIR_ERR_CONFIG_UNSUPPORTED, EOPNOTSUPP },
    { VIR_ERR_OPERATION_DENIED, EACCES },
    { VIR_ERR_ACCESS_DENIED, EACCES },
    { VIR_ERR_AUTH_FAILED, EACCES },
    { VIR_ERR_AUTH_CANCELLED, EACCES },
    { VIR_ERR_XML_ERROR, EINVAL },
    { VIR_ERR_XML_DETAIL, EINVAL },
    { VIR_ERR_INVALID_ARG, EINVAL },
    { VIR_ERR_CHECKPOINT_INCONSISTENT, ESTALE },
};

int hv_virt_code(void)
{
    virErrorPtr e = virGetLastError();

    return e ? e->code : VIR_ERR_OK;
}

int hv_virt_error(struct err *err, const char *fmt, ...)
{
    virErrorPtr e = virGetLastError();
    char what[KVSS_ERR_TEXT_MAX / 2];
    int code = EIO;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    for (size_t i = 0; e && i < ARRAY_SIZE(errno_of); i++)
        if (errno_of[i].virt == e->code)
            code = errno_of[i].code;
    return err_set(err, code, "%s: %s", what, e && e->message ? e->message : "no reason given by libvirt");
}
