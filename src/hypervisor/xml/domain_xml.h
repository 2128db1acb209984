/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain definition says. Pure: XML in, structs out; bounded, since a definition may come from a repository. */
#ifndef HYPERVISOR_XML_DOMAIN_XML_H
#define HYPERVISOR_XML_DOMAIN_XML_H

#include "base/xml.h"
#include "hypervisor/hypervisor.h"

#define DISKS_MAX 2048u /* more than any QEMU machine can hold */
#define NICS_MAX 2048u
#define CHAIN_MAX 200u /* libvirt's own limit on backing chains */

/* Questions that only the host can answer. Any of them may be NULL: not known. */
struct domain_xml_env {
    void *ctx;
    /* Volume of a storage pool: sets source, path, protocol, locator of disk. Failure leaves it HV_SOURCE_OTHER, and tells why in
     * disk->unreadable, as far as there is memory. */
    int (*resolve_volume)(void *ctx, const char *pool, const char *volume, struct hv_disk *disk);
    /* Whether the PCI device "0000:01:00.0" of the host carries storage: 1 yes, 0 no, -1 cannot tell. */
    int (*pci_is_storage)(void *ctx, const char *address);
    /* Where libvirt keeps the NVRAM of the VM if its definition does not say: a file that exists, or NULL. Caller frees. */
    char *(*default_nvram)(void *ctx, const char *name);
    /* As pci_is_storage for the USB device of these ids ("0x0951"). */
    int (*usb_is_storage)(void *ctx, const char *vendor, const char *product);
    /* ... and for the one at this place, "1" and "3". */
    int (*usb_at_is_storage)(void *ctx, const char *bus, const char *device);
};

/* Fills everything of d that a definition tells (title, memory, disks, NICs, passthrough, firmware, TPM, agent); what is there
 * already is not released first. On failure d holds what was found so far: the caller frees it either way. */
int domain_xml_parse(const char *xml, const struct domain_xml_env *env, struct hv_domain *d, struct err *err);

/* Fills d->later from the definition for the next start, where d->disks are of another one. */
int domain_xml_later(const char *xml, const struct domain_xml_env *env, struct hv_domain *d, struct err *err);

/* One <disk>. ret is untouched on failure. chain_known: the definition has the whole backing chain. */
int disk_xml_parse(xmlNodePtr node, const struct domain_xml_env *env, struct hv_disk *ret, struct err *err);
void hv_disk_clear(struct hv_disk *disk);
/* *why: in what the backing chain that the <disk> declares is another one than its images record, with the remedy; NULL: they agree, as
 * far as either can be read. disk has a path on this host. Runs qemu-img. -ENOMEM. Caller frees. */
int declared_chain_check(struct hv *hv, xmlNodePtr node, const struct hv_disk *disk, char **why);
/* "file", "dev", "dir", "name" or "path" of a <source>: what names the image. NULL: none. Caller frees. */
char *disk_xml_source_path(xmlNodePtr source);

/* The image of a <disk type='network'> for QEMU's tools (network_xml.c), or why its definition does not tell surely how it is to be opened:
 * one of both, caller frees. -ENOMEM. */
struct network_node {
    char *text, *why_none;
};
int network_xml_node(xmlNodePtr disk, const char *protocol, const char *format, struct network_node *ret);

/* One <interface>. */
int nic_xml_parse(xmlNodePtr node, struct hv_nic *ret, struct err *err);
void hv_nic_clear(struct hv_nic *nic);

/* Adds what carries storage among the <hostdev>s and controllers to *v. */
int hostdev_xml_list(xmlNodePtr domain, const struct domain_xml_env *env, char ***v, struct err *err);

/* Adds the devices with which QEMU cannot save the VM to *v, for people (unsaveable_xml.c). -ENOMEM. */
int unsaveable_xml_list(xmlNodePtr domain, char ***v);

/* Adds what hv_traits() lists. -ENOMEM. */
int traits_xml_list(xmlNodePtr domain, char ***list);

/* Fills d->beside. */
int beside_xml_list(xmlNodePtr domain, struct hv_domain *d, struct err *err);
void hv_beside_clear(struct hv_domain *d);

#endif
