/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/io.h"
#include "base/xml.h"
#include "hypervisor/image/image.h"
#include "hypervisor/host/host.h"
#include "hypervisor/job/checkpoint.h"
#include <errno.h>
#include <string.h>

static void checkpoint_free_p(virDomainCheckpointPtr *c)
{
    if (*c)
        virDomainCheckpointFree(*c);
}

static const char *disk_image(const struct hv_domain *d, const char *target)
{
    for (size_t i = 0; i < d->n_disks; i++)
        if (strcmp(d->disks[i].target, target) == 0)
            return d->disks[i].path;
    return NULL;
}

/* Removes the bitmap of one <disk> of a checkpoint from its image. */
static int remove_bitmap(struct hv_domain *d, xmlNodePtr disk, struct err *err)
{
    _cleanup_free_ char *target = xml_attr(disk, "name"), *bitmap = xml_attr(disk, "bitmap");
    const char *image = target ? disk_image(d, target) : NULL;

    if (!image || !bitmap || !io_exists(image))
        return 0;
    return image_bitmap_remove(image, bitmap, err);
}

/* libvirt deletes bitmaps through a running QEMU only. */
static int remove_offline(struct hv_domain *d, virDomainCheckpointPtr c, struct err *err)
{
    _cleanup_free_ char *xml = virDomainCheckpointGetXMLDesc(c, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN);
    _cleanup_free_ xmlNodePtr *disks = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (!xml)
        return hv_virt_error(err, "cannot read the checkpoint");
    int r = xml_parse(xml, strlen(xml), "the checkpoint", &doc, err);
    if (r < 0)
        return r;
    int n = xml_find_all(xmlDocGetRootElement(doc), "disks/disk[@checkpoint='bitmap']", &disks);
    for (int i = 0; i < n && r == 0; i++)
        r = remove_bitmap(d, disks[i], err);
    return n < 0 ? err_errno(err, -n, "cannot read the checkpoint") : r;
}

static int drop_metadata(virDomainCheckpointPtr c, struct err *err)
{
    if (virDomainCheckpointDelete(c, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) < 0)
        return hv_virt_error(err, "libvirt refuses to drop its metadata");
    return 0;
}

/* ---- Through a running QEMU, which may have to be waited for --------------------------------------------------------------*/

/* The checkpoint of one disk only is made known again, if its bitmap is there and sound, and deleted with it. Where that fails a bitmap
 * stays, which the next full backup does without. */
static void delete_of_disk(virDomainPtr dom, xmlDocPtr doc, xmlNodePtr disk)
{
    unsigned flags = VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE;
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = NULL;
    _cleanup_free_ char *xml = NULL;

    xmlSetProp(disk, BAD_CAST "checkpoint", BAD_CAST "bitmap");
    if (xml_dump(doc, NULL, false, &xml, NULL) == 0)
        c = virDomainCheckpointCreateXML(dom, xml, flags);
    if (c)
        (void)virDomainCheckpointDelete(c, 0);
    xmlSetProp(disk, BAD_CAST "checkpoint", BAD_CAST "no");
    xmlUnsetProp(disk, BAD_CAST "bitmap");
}

/* libvirt deletes a checkpoint only if all of its bitmaps are there. An image that was replaced has none, and one whose QEMU was
 * killed perhaps. */
static int delete_piecewise(virDomainPtr dom, virDomainCheckpointPtr c, struct err *err)
{
    _cleanup_free_ char *xml = virDomainCheckpointGetXMLDesc(c, VIR_DOMAIN_CHECKPOINT_XML_SECURE);
    _cleanup_free_ xmlNodePtr *disks = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (!xml)
        return hv_virt_error(err, "it cannot be read");
    int r = xml_parse(xml, strlen(xml), "the checkpoint", &doc, err);
    if (r == 0)
        r = drop_metadata(c, err);
    if (r < 0)
        return r;
    int n = xml_find_all(xmlDocGetRootElement(doc), "disks/disk[@checkpoint='bitmap']", &disks);
    for (int i = 0; i < n; i++) {
        xmlSetProp(disks[i], BAD_CAST "checkpoint", BAD_CAST "no");
        xmlUnsetProp(disks[i], BAD_CAST "bitmap");
    }
    for (int i = 0; i < n; i++)
        delete_of_disk(dom, doc, disks[i]);
    return 0;
}

/* arg: its name. */
static int delete_live(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointLookupByName(dom, arg, 0);

    (void)conn;
    if (!c)
        return hv_virt_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT ? 0 : hv_virt_error(err, "cannot look it up");
    if (virDomainCheckpointDelete(c, 0) == 0)
        return 0;
    int r = hv_virt_error(err, "libvirt");
    bool missing = hv_virt_code() == VIR_ERR_INTERNAL_ERROR || hv_virt_code() == VIR_ERR_CHECKPOINT_INCONSISTENT;
    return missing ? delete_piecewise(dom, c, err) : r;
}

static int delete_through_qemu(struct hv_domain *d, const char *name, struct err *err)
{
    const struct patient_call call = { .fn = delete_live, .free_arg = free, .insists = true };
    char *copy = strdup(name);

    if (!copy)
        return err_nomem(err);
    int r = patiently(d, &call, (void **)&copy, err);
    free(copy);
    return r;
}

int hv_checkpoint_delete(struct hv_domain *d, const char *name, bool metadata_only, struct err *err)
{
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointLookupByName(hv_handle(d), name, 0);
    int r = 0;

    if (!c && hv_virt_code() == VIR_ERR_NO_DOMAIN_CHECKPOINT)
        return 0;
    if (!c)
        return hv_virt_error(err, "cannot look up checkpoint %s of VM %s", name, d->name);
    if (!metadata_only && !(d->hv->local && virDomainIsActive(hv_handle(d)) == 0)) {
        r = delete_through_qemu(d, name, err);
    } else {
        if (!metadata_only)
            r = remove_offline(d, c, err);
        if (r >= 0)
            r = drop_metadata(c, err);
    }
    return r < 0 ? err_context(err, "cannot delete checkpoint %s of VM %s", name, d->name) : 0;
}

/* What libvirt has forgotten: QEMU goes on recording in it, and does not go back to a snapshot inside the image beside it. */
static int drop_bitmaps(const char *image, const char *format, const char *prefix, char ***dropped, struct err *err)
{
    struct hv_image_info info = { 0 };

    int r = hv_image_info(NULL, image, format, false, &info, err);
    for (size_t i = 0; r >= 0 && i < info.n_bitmaps; i++) {
        const char *name = info.bitmaps[i].name;
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        r = image_bitmap_remove(image, name, err);
        if (r >= 0 && !strv_has(*dropped, name) && strv_add(dropped, name) < 0)
            r = err_nomem(err);
    }
    hv_image_info_clear(&info);
    return r;
}

int hv_forgotten_bitmaps(const struct hv_domain *d, const char *prefix, char ***ret)
{
    int r = 0;

    for (size_t i = 0; d->hv->local && r == 0 && i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        struct hv_image_info info = { 0 };
        if (!disk->path || strcmp(disk->format, "qcow2") != 0 || hv_image_info(d->hv, disk->path, disk->format, true, &info, NULL) < 0)
            continue;
        for (size_t k = 0; r == 0 && k < info.n_bitmaps; k++) {
            const char *name = info.bitmaps[k].name;
            if (strncmp(name, prefix, strlen(prefix)) == 0 && !strv_has(d->checkpoints, name) && !strv_has(*ret, name))
                r = strv_add(ret, name);
        }
        hv_image_info_clear(&info);
    }
    return r;
}

int hv_checkpoints_drop(struct hv_domain *d, const char *prefix, char ***dropped, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < d->n_checkpoints && r >= 0; i++) {
        const char *name = d->checkpoints[i];
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        r = hv_checkpoint_delete(d, name, false, err);
        if (r >= 0 && strv_add(dropped, name) < 0)
            r = err_nomem(err);
    }
    for (size_t i = 0; r >= 0 && d->hv->local && d->state == HV_OFF && i < d->n_disks; i++) {
        const struct hv_disk *disk = &d->disks[i];
        if (disk->path && strcmp(disk->format, "qcow2") == 0 && !disk->readonly && io_exists(disk->path))
            r = drop_bitmaps(disk->path, disk->format, prefix, dropped, err);
    }
    struct err why = ERR_INIT;
    if (hv_kept_copies_drop(d, prefix, NULL, dropped, &why) < 0 && r >= 0)
        r = err_move(err, &why);
    return r < 0 ? err_context(err, "VM %s", d->name) : 0;
}

int hv_checkpoint_xml(struct hv_domain *d, const char *name, char **ret, struct err *err)
{
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointLookupByName(hv_handle(d), name, 0);
    char *xml = c ? virDomainCheckpointGetXMLDesc(c, VIR_DOMAIN_CHECKPOINT_XML_SECURE | VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN) : NULL;

    if (!xml)
        return hv_virt_error(err, "cannot read checkpoint %s of VM %s", name, d->name);
    *ret = xml;
    return 0;
}

int hv_checkpoint_disks(struct hv_domain *d, const char *name, char ***ret, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_strv_ char **targets = NULL;

    int r = hv_checkpoint_xml(d, name, &xml, err);
    if (r == 0)
        r = xml_parse(xml, strlen(xml), "the checkpoint", &doc, err);
    if (r < 0)
        return r;
    int n = xml_find_all(xmlDocGetRootElement(doc), "disks/disk[@checkpoint='bitmap']", &nodes);
    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *target = xml_attr(nodes[i], "name");
        r = target ? strv_add(&targets, target) : 0;
    }
    if (n < 0 || r < 0)
        return err_nomem(err);
    *ret = TAKE_PTR(targets);
    return 0;
}

struct redefinition {
    char *xml;
    unsigned flags;
};

static void redefinition_free(void *arg)
{
    struct redefinition *r = arg;

    if (r)
        free(r->xml);
    free(r);
}

static int redefine(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct redefinition *r = arg;
    _cleanup_(checkpoint_free_p) virDomainCheckpointPtr c = virDomainCheckpointCreateXML(dom, r->xml, r->flags);

    (void)conn;
    return c ? 0 : hv_virt_error(err, "libvirt");
}

/* To validate, a running QEMU is asked for its bitmaps. */
int hv_checkpoint_redefine(struct hv_domain *d, const char *xml, bool validate, struct err *err)
{
    const struct patient_call call = { .fn = redefine, .free_arg = redefinition_free };
    struct redefinition *a = calloc(1, sizeof(*a));
    int r = a && (a->xml = strdup(xml)) ? 0 : err_nomem(err);

    if (r >= 0) {
        a->flags = VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | (validate ? VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE : 0);
        r = patiently(d, &call, (void **)&a, err);
    }
    redefinition_free(a);
    return r < 0 ? err_context(err, "cannot redefine a checkpoint of VM %s in libvirt", d->name) : 0;
}

int checkpoint_text(const struct hv_domain *d, const char *name, const char *created, char *const *targets, char **ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "domaincheckpoint") : NULL;

    if (!root)
        return err_nomem(err);
    xmlDocSetRootElement(doc, root);
    xmlNewTextChild(root, NULL, BAD_CAST "name", BAD_CAST name);
    if (created)
        xmlNewTextChild(root, NULL, BAD_CAST "creationTime", BAD_CAST created);
    xmlNodePtr disks = xml_add(root, "disks");
    for (size_t i = 0; i < d->n_disks; i++) {
        const char *target = d->disks[i].target;
        xmlNodePtr disk = xml_add(disks, "disk");
        xml_set(disk, "name", target);
        xml_set(disk, "checkpoint", strv_has(targets, target) ? "bitmap" : "no");
    }
    return xml_dump(doc, root, false, ret, err);
}

int hv_checkpoint_create(struct hv_domain *d, const char *name, char *const *targets, struct err *err)
{
    const struct patient_call call = { .fn = redefine, .free_arg = redefinition_free, .insists = true };
    struct redefinition *a = calloc(1, sizeof(*a));

    int r = a ? checkpoint_text(d, name, NULL, targets, &a->xml, err) : err_nomem(err);
    if (r >= 0)
        r = patiently(d, &call, (void **)&a, err);
    redefinition_free(a);
    return r < 0 ? err_context(err, "cannot create checkpoint %s of VM %s", name, d->name) : 0;
}

int hv_checkpoint_revive(struct hv_domain *d, const char *name, int64_t created_s, char *const *targets, struct err *err)
{
    _cleanup_free_ char *created = str_format("%lld", (long long)created_s), *xml = NULL;

    int r = created ? checkpoint_text(d, name, created, targets, &xml, err) : err_nomem(err);
    return r < 0 ? r : hv_checkpoint_redefine(d, xml, true, err);
}
