/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections to libvirt beside the first one. */
#include "hypervisor/host/hv_internal.h"

/* Slot of a VM's connection, or -1: it is on the first one and not counted. */
static int pool_slot_of(const struct hv_domain *d)
{
    virConnectPtr conn = virDomainGetConnect(hv_handle(d)); /* borrowed */

    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        if (d->pooled && d->hv->pool[i].conn == conn)
            return (int)i;
    return -1;
}

/* The connection that serves the fewest VMs; opens another one while all are full. */
static unsigned pool_choose(struct hv *hv)
{
    const unsigned max = hv->local ? CONNECTIONS_MAX : REMOTE_CONNECTIONS_MAX;
    const unsigned each = hv->local ? DOMAINS_PER_CONNECTION : REMOTE_DOMAINS_PER_CONNECTION;
    unsigned best = 0, n = 1;

    for (; n < max && hv->pool[n].conn; n++)
        if (hv->pool[n].domains < hv->pool[best].domains)
            best = n;
    if (hv->pool[best].domains < each || n == max)
        return best;
    hv->pool[n].conn = virConnectOpen(hv->uri);
    if (hv->pool[n].conn)
        return n;
    log_debug(hv->log, "no further connection to %s: %s", hv->uri, virGetLastErrorMessage());
    return best;
}

void hv_pool_enter(struct hv_domain *d)
{
    struct hv *hv = d->hv;
    unsigned char uuid[VIR_UUID_BUFLEN];

    /* In-process QEMU driver: no such limit. */
    if (d->pooled || hv->loop || virDomainGetUUID(hv_handle(d), uuid) < 0)
        return;
    SCOPED_LOCK(&hv->lock);
    hv->pool[0].conn = hv->conn;
    unsigned slot = pool_choose(hv);
    virDomainPtr handle = slot > 0 ? virDomainLookupByUUID(hv->pool[slot].conn, uuid) : NULL;
    if (handle) {
        virDomainFree(d->handle);
        d->handle = handle;
    } else {
        slot = 0;
    }
    hv->pool[slot].domains++;
    d->pooled = true;
}

void hv_pool_leave(struct hv_domain *d)
{
    if (!d->pooled)
        return;
    SCOPED_LOCK(&d->hv->lock);
    int slot = pool_slot_of(d);
    if (slot >= 0)
        d->hv->pool[slot].domains--;
    d->pooled = false;
}

void hv_pool_close(struct hv *hv)
{
    for (unsigned i = 1; i < CONNECTIONS_MAX; i++)
        if (hv->pool[i].conn)
            virConnectClose(hv->pool[i].conn);
}
