/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt knows of a VM's snapshots and checkpoints, taken down and made known again. Nothing in an image is touched. */
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

static void snapshot_free_p(virDomainSnapshotPtr *s)
{
    if (*s)
        virDomainSnapshotFree(*s);
}

static int add_snapshot(struct hv_domain *d, virDomainSnapshotPtr s, struct hv_kept *k, struct err *err)
{
    const char *name = virDomainSnapshotGetName(s);
    int current = virDomainSnapshotIsCurrent(s, 0);
    _cleanup_free_ char *xml = current < 0 ? NULL : virDomainSnapshotGetXMLDesc(s, VIR_DOMAIN_SNAPSHOT_XML_SECURE);

    if (!xml)
        return hv_virt_error(err, "cannot read snapshot %s of VM %s", name ? name : "", d->name);
    if (current)
        k->current = strv_len(k->snapshots) + 1;
    return strv_add(&k->snapshots, xml) < 0 ? err_nomem(err) : 0;
}

static int list_snapshots(struct hv_domain *d, struct hv_kept *k, struct err *err)
{
    virDomainSnapshotPtr *list = NULL;
    int n = virDomainListAllSnapshots(hv_handle(d), &list, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL), r = 0;

    if (n < 0)
        return hv_virt_error(err, "cannot list the snapshots of VM %s", d->name);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = add_snapshot(d, list[i], k, err);
        virDomainSnapshotFree(list[i]);
    }
    free(list);
    return r;
}

int hv_internal_snapshots(struct hv_domain *d, size_t *ret, struct err *err)
{
    int n = virDomainSnapshotNum(hv_handle(d), VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL);

    if (n < 0)
        return hv_virt_error(err, "cannot list the snapshots of VM %s", d->name);
    *ret = (size_t)n;
    return 0;
}

int hv_keep_metadata(struct hv_domain *d, struct hv_kept *ret, struct err *err)
{
    struct hv_kept k = { 0 };

    int r = list_snapshots(d, &k, err);
    for (size_t i = 0; i < d->n_checkpoints && r == 0; i++) {
        _cleanup_free_ char *xml = NULL;
        r = hv_checkpoint_xml(d, d->checkpoints[i], &xml, err);
        if (r == 0 && strv_add(&k.checkpoints, xml) < 0)
            r = err_nomem(err);
    }
    if (r < 0)
        hv_kept_clear(&k);
    else
        *ret = k;
    return r;
}

void hv_kept_clear(struct hv_kept *k)
{
    strv_free(k->snapshots);
    strv_free(k->checkpoints);
    *k = (struct hv_kept){ 0 };
}

static int redefine_snapshot(struct hv_domain *d, const char *xml, bool current, struct err *err)
{
    unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | (current ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0);
    _cleanup_(snapshot_free_p) virDomainSnapshotPtr s = virDomainSnapshotCreateXML(hv_handle(d), xml, flags);

    return s ? 0 : hv_virt_error(err, "cannot redefine a snapshot of VM %s in libvirt", d->name);
}

int hv_restore_metadata(struct hv_domain *d, const struct hv_kept *k, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < strv_len(k->snapshots) && r == 0; i++)
        r = redefine_snapshot(d, k->snapshots[i], i + 1 == k->current, err);
    for (char **c = k->checkpoints; r == 0 && c && *c; c++)
        r = hv_checkpoint_redefine(d, *c, false, err);
    return r;
}
