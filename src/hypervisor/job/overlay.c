/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Differencing disks: the begin. One external snapshot of all disks, of which libvirt keeps no record: it is gone within seconds. */
#include "base/xml.h"
#include "hypervisor/host/host.h"
#include "hypervisor/job/new_image.h"
#include "hypervisor/job/overlay.h"
#include <errno.h>
#include <string.h>

struct hv_overlay_request {
    char *xml;
};

void hv_overlay_request_free(struct hv_overlay_request *r)
{
    if (r)
        free(r->xml);
    free(r);
}
DEFINE_CLEANUP(struct hv_overlay_request *, hv_overlay_request_free)

static const struct hv_overlay *overlay_of(const struct hv_overlay *list, size_t n, const char *target)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].target, target))
            return &list[i];
    return NULL;
}

/* libvirt takes disks that are not named as part of it: each is named. */
static int overlay_text(const struct hv_domain *d, const struct hv_overlay *list, size_t n, char **ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "domainsnapshot") : NULL;

    if (!root)
        return err_nomem(err);
    xmlDocSetRootElement(doc, root);
    xmlNodePtr disks = xml_add(root, "disks");
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct hv_overlay *o = overlay_of(list, n, d->disks[i].target);
        xmlNodePtr disk = xml_add(disks, "disk");
        xml_set(disk, "name", d->disks[i].target);
        xml_set(disk, "snapshot", o ? "external" : "no");
        if (!o)
            continue;
        xml_set(disk, "type", "file");
        xml_set(xml_add(disk, "driver"), "type", "qcow2");
        xml_set(xml_add(disk, "source"), "file", o->path);
    }
    return xml_dump(doc, root, false, ret, err);
}

/* At a glance the size of some formats is not known: QEMU's tools know it. */
static int overlay_size(struct hv_domain *d, const struct hv_disk *disk, uint64_t *ret, struct err *err)
{
    struct hv_image_info info = { 0 };

    int r = disk->size ? 0 : hv_image_info(d->hv, disk->path, disk->format, true, &info, err);
    *ret = disk->size ? disk->size : info.size;
    hv_image_info_clear(&info);
    if (r >= 0 && !*ret)
        r = err_set(err, EIO, "the size of disk %s of VM %s is not known", disk->target, d->name);
    return r < 0 ? r : 0;
}

static int overlay_make(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    struct new_image file = { .path = o->path, .what = "overlay", .backing = o->base, .backing_format = o->format };
    int r = -ENOENT;

    for (size_t i = 0; i < d->n_disks; i++)
        if (!strcmp(d->disks[i].target, o->target) && d->disks[i].path && !strcmp(d->disks[i].path, o->base))
            r = overlay_size(d, &d->disks[i], &file.size, err);
    if (r == -ENOENT)
        return err_set(err, ENOENT, "VM %s no longer has disk %s on %s", d->name, o->target, o->base);
    if (r < 0)
        return r;
    r = new_image_make(d->hv, &file, err);
    if (r >= 0 && (r = overlay_check_marks(o->path, err)) < 0)
        new_image_drop(o->path);
    return r < 0 ? err_context(err, "cannot create the overlay of disk %s of VM %s", o->target, d->name) : 0;
}

int hv_overlay_prepare(struct hv_domain *d, const struct hv_overlay *list, size_t n, struct hv_overlay_request **ret, struct err *err)
{
    _cleanup_(hv_overlay_request_free_p) struct hv_overlay_request *req = calloc(1, sizeof(*req));

    if (!req)
        return err_nomem(err);
    hv_pool_enter(d);
    int r = overlay_text(d, list, n, &req->xml, err);
    for (size_t i = 0; i < n && r >= 0; i++) {
        r = overlay_make(d, &list[i], err);
        for (size_t k = 0; r < 0 && k < i; k++)
            new_image_drop(list[k].path);
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(req);
    return 0;
}

static int overlay_switch(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct hv_overlay_request *req = arg;
    unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                     VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
    virDomainSnapshotPtr s = virDomainSnapshotCreateXML(dom, req->xml, flags);

    (void)conn;
    if (!s)
        return hv_virt_error(err, "libvirt");
    virDomainSnapshotFree(s);
    return 0;
}

static void free_overlay_request(void *arg)
{
    hv_overlay_request_free(arg);
}

int hv_overlay_begin(struct hv_domain *d, struct hv_overlay_request **req, struct err *err)
{
    const struct patient_call call = { .fn = overlay_switch, .free_arg = free_overlay_request, .insists = true };

    int r = patiently(d, &call, (void **)req, err);
    return r < 0 && *req ? err_context(err, "cannot switch the disks of VM %s to overlays", d->name) : r;
}
