/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/domain_storage.h"
#include "hypervisor/domain_xml.h"
#include "hypervisor/image.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>

/* Of a VM without QEMU: what its image is backed by, or why that cannot be read. The definition may tell the chain, and be wrong. */
static int fill_chain(struct hv_domain *d, struct hv_disk *disk, xmlNodePtr node)
{
    bool local = d->hv->local && disk->path && (disk->source == HV_SOURCE_FILE || disk->source == HV_SOURCE_BLOCK);

    if (!local || disk->device == HV_DEVICE_LUN)
        return 0;
    _cleanup_chain_ struct image_chain chain = { 0 };
    struct err why = ERR_INIT;
    int r = 0;
    if (image_chain_read(disk->path, disk->format, &chain, &why) < 0) {
        log_debug(d->hv->log, "VM %s: %s", d->name, why.text);
        return (disk->unreadable = strdup(why.text)) ? 0 : -ENOMEM;
    }
    if (image_is_written(disk->path) &&
        !(disk->unreadable = str_format("another program writes its image %s: is it the disk of another VM that runs?", disk->path)))
        return -ENOMEM;
    if (disk->backing || (node && disk_xml_has_chain(node)))
        return 0;
    for (size_t i = 1; r == 0 && i < chain.n; i++)
        r = strv_add(&disk->backing, chain.layers[i].path);
    return r;
}

static void fill_size(struct hv_domain *d, struct hv_disk *disk)
{
    virDomainBlockInfo info;

    if (disk->source == HV_SOURCE_NONE)
        return;
    /* Of a VM that is off or saved libvirt looks into the definition for the next start, where another disk may be called so. */
    bool by_path = d->state == HV_SAVED && disk->path;
    struct hv_image_info image = { 0 };
    if (virDomainGetBlockInfo(hv_handle(d), by_path ? disk->path : disk->target, &info, 0) == 0)
        disk->size = info.capacity;
    else if (by_path && d->hv->local && hv_image_info(disk->path, disk->format, true, &image, NULL) == 0)
        disk->size = image.size;
    else
        log_debug(d->hv->log, "VM %s: the size of disk %s is not known: %s", d->name, disk->target, virGetLastErrorMessage());
    hv_image_info_clear(&image);
}

int domain_storage_fill(struct hv_domain *d, const char *xml, bool active, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_free_ xmlNodePtr *nodes = NULL;

    int r = xml_parse(xml, strlen(xml), "the VM's definition", &doc, err);
    if (r < 0)
        return r;
    int n = xml_find_all(xmlDocGetRootElement(doc), "devices/disk", &nodes);
    for (size_t i = 0; i < d->n_disks; i++) {
        fill_size(d, &d->disks[i]);
        /* Of a running QEMU libvirt knows the chain and tells it in the active definition. */
        if (active)
            continue;
        r = fill_chain(d, &d->disks[i], n >= 0 && i < (size_t)n ? nodes[i] : NULL);
        if (r < 0)
            return err_errno(err, -r, "cannot read the backing images of disk %s of VM %s", d->disks[i].target, d->name);
    }
    return 0;
}
