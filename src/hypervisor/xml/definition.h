/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A definition that is being corrected, as the files that correct it see it. */
#ifndef HYPERVISOR_XML_DEFINITION_H
#define HYPERVISOR_XML_DEFINITION_H

#include "base/cleanup.h"
#include "base/xml.h"
#include "hypervisor/xml/domain_xml.h"

struct def_disk {
    xmlNodePtr node;
    char *target, *path, *format;
};

struct hv_def {
    xmlDocPtr doc;
    xmlNodePtr root;
    char *name, *uuid, *nvram;
    size_t n_disks;
    struct def_disk *disks;
    size_t n_nics;
    xmlNodePtr *nic_nodes;
    struct hv_nic *nics;
};

DEFINE_CLEANUP(struct hv_def *, hv_def_free)

/* A drive whose medium can be taken out: a CD-ROM or floppy drive. */
bool def_is_removable(const struct def_disk *disk);
/* The first file that a start would open of the disk and not find: its image, or one beneath it; NULL: none is known to be gone. Caller
 * frees. -ENOMEM. */
int def_gone_image(const struct def_disk *disk, char **ret);
/* Takes the medium out. */
void def_eject(struct def_disk *disk);
/* Removes a node with the white space that led to it, so that no empty line stays. */
void def_remove_node(xmlNodePtr node);
/* ... and all that the XPath (a constant of ours) matches below parent. */
void def_remove_child(xmlNodePtr parent, const char *xpath);
void def_drop_attribute(xmlNodePtr node, const char *name);
/* A new element before `sibling`, or after the last one where that is NULL; indented as its neighbour is. NULL: out of memory. */
xmlNodePtr def_insert_node(xmlNodePtr parent, xmlNodePtr sibling, const char *name);
/* -ENOENT: there is no NIC i. */
int def_check_nic(const struct hv_def *def, size_t i, struct err *err);
/* Reads NIC i again after its element was changed. */
int def_reload_nic(struct hv_def *def, size_t i, struct err *err);
/* definition_shared.c: what a copy must not have in common with its original goes; *notes tells of each. -EBUSY: the memory that it goes
 * on in expects it. */
int def_leave_shared(struct hv_def *def, bool same_memory, char ***notes, struct err *err);
/* needs.c: whether the filter that an <interface> names is not known to libvirt; *ret (may be NULL): its name, caller frees. */
bool needs_filter_missing(struct hv *hv, xmlNodePtr nic, char **ret);
/* without.c: what the VM can be started without, and this host lacks, goes; of *notes each line tells of one correction. hv NULL: networks
 * and pools are taken to be there. */
enum def_without {
    WITHOUT_MISSING,  /* what is certainly not there */
    WITHOUT_DISPLAYS, /* ... and every display */
    WITHOUT_SERVERS,  /* ... or, with its displays, every port that is on the network */
    WITHOUT_PORTS,    /* ... and every port and display that could be at fault */
    WITHOUT_MEDIA,    /* ... and every medium */
    WITHOUT_NETWORK,  /* ... and every network interface is unplugged */
    WITHOUT_LAST = WITHOUT_NETWORK,
};
int def_do_without(struct hv *hv, struct hv_def *def, enum def_without what, char ***notes, struct err *err);

/* The rest of what other folders see of this one. */
#include "hypervisor/xml/places_xml.h"

#endif
