/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files, folders and sockets of the host, beside disks and firmware, without which QEMU does not start a VM. */
#ifndef HYPERVISOR_XML_PLACES_XML_H
#define HYPERVISOR_XML_PLACES_XML_H

#include "base/xml.h"
#include <stdbool.h>
#include <stddef.h>

#define PLACES_MAX 4096u /* more than a definition can name; it may come from a repository */

/* How a VM can do without a place. */
enum place_remedy {
    PLACE_NEEDED,      /* not at all */
    PLACE_NULL_PORT,   /* a character device leads nowhere */
    PLACE_TRIED_AGAIN, /* QEMU goes on trying to connect to it */
    PLACE_NO_LOG,      /* what a character device says is logged nowhere */
    PLACE_NO_DISPLAY,  /* a display listens nowhere */
    PLACE_DROPPED,     /* the element that names it goes: the guest has read it when it booted */
    PLACE_OTHER_ROM,   /* the device has QEMU's own option ROM, if that is as large: its size belongs to the memory that is saved */
    PLACE_URANDOM,     /* random numbers come from /dev/urandom */
    PLACE_NO_NIC,      /* the network interface is unplugged, which is looked after with all other NICs */
};

struct place_xml {
    xmlNodePtr node; /* the element that must change: the device, its <log>, the <graphics> */
    enum place_remedy remedy;
    char *path; /* what must be there: the place itself, or the folder that it is made in */
    char *text; /* for people: "folder /srv/logs, for the log web.log" */
};

/* All places that the definition names, as an array; places that libvirt makes by itself at each start are not among them. Returns their
 * number or -ENOMEM. *ret is released by places_free(). */
int places_xml_list(xmlNodePtr domain, struct place_xml **ret);
void places_xml_free(struct place_xml *places, size_t n);
bool place_is_there(const struct place_xml *place);
/* arguments_xml.c: adds a text for each file that is not there and that QEMU is to read by what the definition adds to its command line.
 * -ENOMEM. */
int arguments_xml_missing(xmlNodePtr domain, char ***missing);
/* Takes out what can be done without of them (a setting or table of the firmware, which a guest that runs has read); a note for each. */
int arguments_xml_without(xmlNodePtr domain, char ***notes);
/* servers_xml.c: adds a text for each server of this host that QEMU is to connect to at a start, and at which nobody listens. -ENOMEM. */
int servers_xml_missing(xmlNodePtr domain, char ***missing);

#endif
