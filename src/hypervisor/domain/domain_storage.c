/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/image/image.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

static bool is_read_by_path(const struct hv_domain *d, const struct hv_disk *disk)
{
    return d->hv->local && disk->path && (disk->source == HV_SOURCE_FILE || disk->source == HV_SOURCE_BLOCK) &&
           disk->device != HV_DEVICE_LUN;
}

/* Of a VM without QEMU: what its image is backed by, or why that cannot be read. */
static int fill_chain(struct hv_domain *d, struct hv_disk *disk, xmlNodePtr node)
{
    if (!is_read_by_path(d, disk))
        return 0;
    if (node && (declared_chain_check(d->hv, node, disk, &disk->unreadable) < 0 || disk->unreadable))
        return disk->unreadable ? 0 : -ENOMEM;
    _cleanup_chain_ struct image_chain chain = { 0 };
    struct err why = ERR_INIT;
    int r = 0;
    if (image_chain_read(d->hv, disk->path, disk->format, &chain, &why) < 0) {
        log_debug(d->hv->log, "VM %s: %s", d->name, why.text);
        return (disk->unreadable = strdup(why.text)) ? 0 : -ENOMEM;
    }
    const char *last = chain.layers[chain.n - 1].path;
    if (image_is_remote(last)) /* another than the VM's own QEMU is not to follow what an image says there, nor to wait for it */
        return (disk->unreadable =
                    str_format("its backing image %s is on the network and is not open in a running QEMU: start the VM", last))
                   ? 0
                   : -ENOMEM;
    if (image_is_written(disk->path) &&
        !(disk->unreadable = str_format("another program is writing to its image %s: is it a disk of another running VM?", disk->path)))
        return -ENOMEM;
    /* A definition may tell the chain in part. */
    for (size_t i = 1 + strv_len(disk->backing); r == 0 && i < chain.n; i++)
        r = strv_add(&disk->backing, chain.layers[i].path);
    return r;
}

/* Of a running QEMU libvirt knows the chain and tells it in the active definition. What the VM cannot write is read without its QEMU. */
static int check_read_apart(const struct hv_domain *d, struct hv_disk *disk, xmlNodePtr node)
{
    bool apart = is_read_by_path(d, disk) && (disk->readonly || disk->transient) && disk->device == HV_DEVICE_DISK;

    return apart && node && !disk->unreadable ? declared_chain_check(d->hv, node, disk, &disk->unreadable) : 0;
}

static bool is_local_image(const struct hv_domain *d, const struct hv_disk *disk)
{
    return d->hv->local && disk->path && !disk->slice && !disk->encrypted &&
           (disk->source == HV_SOURCE_FILE || disk->source == HV_SOURCE_BLOCK);
}

/* Without libvirt. Also of an image that QEMU has open: it keeps its size in there. 0: it does not tell. */
static uint64_t size_in_head(const struct hv_domain *d, const struct hv_disk *disk)
{
    struct image_head head = { 0 };

    if (!is_local_image(d, disk) || image_head_read(disk->path, disk->format, &head) < 0)
        return 0;
    free(head.backing);
    return head.size;
}

struct size_question {
    char *disk;
    uint64_t size;
};

static void free_question(void *arg)
{
    struct size_question *q = arg;

    free(q ? q->disk : NULL);
    free(q);
}

static int ask_size(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    struct size_question *q = arg;
    virDomainBlockInfo info;

    (void)conn;
    if (virDomainGetBlockInfo(dom, q->disk, &info, 0) < 0)
        return hv_virt_error(err, "cannot determine the size of disk %s", q->disk);
    q->size = info.capacity;
    return 0;
}

/* By target or path. A running QEMU is asked: then it may have to be waited for. */
static int size_from_libvirt(struct hv_domain *d, const char *which, uint64_t *ret, struct err *err)
{
    const struct patient_call call = { .fn = ask_size, .free_arg = free_question };
    struct size_question *q = calloc(1, sizeof(*q));
    int r = q && (q->disk = strdup(which)) ? 0 : err_nomem(err);

    if (r == 0)
        r = d->state == HV_OFF || d->state == HV_SAVED ? ask_size(NULL, hv_handle(d), q, err) : patiently(d, &call, (void **)&q, err);
    if (r == 0)
        *ret = q->size;
    free_question(q);
    return r;
}

static int fill_size(struct hv_domain *d, struct hv_disk *disk, bool active, struct err *err)
{
    struct hv_image_info image = { 0 };
    struct err why = ERR_INIT;

    if (disk->source == HV_SOURCE_NONE || (active && (disk->size = size_in_head(d, disk))))
        return 0;
    /* Of a VM that is off or saved libvirt looks into the definition for the next start, where another disk may be called so. */
    bool by_path = d->state == HV_SAVED && disk->path;
    int r = size_from_libvirt(d, by_path ? disk->path : disk->target, &disk->size, &why);
    if (r == -ETIMEDOUT || r == -EINTR) /* the whole VM cannot be asked */
        return err_move(err, &why);
    if (r < 0 && by_path && d->hv->local && hv_image_info(d->hv, disk->path, disk->format, true, &image, NULL) == 0)
        disk->size = image.size;
    else if (r < 0)
        log_debug(d->hv->log, "VM %s: disk %s: %s", d->name, disk->target, why.text);
    hv_image_info_clear(&image);
    return 0;
}

int domain_storage_glance(struct hv_domain *d, struct err *err)
{
    for (size_t i = 0; i < d->n_disks; i++) {
        struct hv_disk *disk = &d->disks[i];
        disk->size = size_in_head(d, disk);
        if (disk->backing || !is_local_image(d, disk) || disk->device == HV_DEVICE_LUN)
            continue;
        if (image_head_chain(disk->path, disk->format, &disk->backing) < 0)
            return err_nomem(err);
    }
    return 0;
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
        r = fill_size(d, &d->disks[i], active, err);
        if (r < 0)
            return r;
        xmlNodePtr node = n >= 0 && i < (size_t)n ? nodes[i] : NULL;
        r = active ? check_read_apart(d, &d->disks[i], node) : fill_chain(d, &d->disks[i], node);
        if (r < 0)
            return err_errno(err, -r, "cannot read the backing images of disk %s of VM %s", d->disks[i].target, d->name);
    }
    return 0;
}
