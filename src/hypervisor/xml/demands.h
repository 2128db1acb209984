/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to what lists the demands of a definition. */
#ifndef HYPERVISOR_XML_DEMANDS_H
#define HYPERVISOR_XML_DEMANDS_H

#include "base/xml.h"
#include "hypervisor/hypervisor.h"
#include <stdbool.h>

#define DEMANDS_MAX 500u /* more than anybody reads */
#define DEMAND_TEXT_MAX 16384u

/* The list in the making, and where in the definition it is. */
struct demands_walk {
    struct hv_demands *list;
    char *disk;  /* target of the disk whose image is being looked at; NULL: none, or one that has been seen before */
    char **seen; /* targets */
};

/* text is taken over, also on failure; NULL stands for "out of memory". What is there already is not added again. -ENOMEM. */
int demands_add(struct demands_walk *w, enum hv_danger danger, const char *kind, const char *path, char *text);
/* demands_devices.c: what one device, or one element of <domain>, is known to demand as a whole. -ENOMEM. */
int demands_of_element(struct demands_walk *w, xmlNodePtr node);
/* demands_paths.c: what a text demands that is a place of the host: that of an attribute; NULL: of the element itself. -ENOMEM. */
int demands_of_value(struct demands_walk *w, xmlNodePtr node, const char *attribute, const char *value);
/* demands_names.c */
bool demands_element_is_known(const char *name);
/* Whether node is `name` in an element called `parent`; NULL: any. */
bool demands_is(xmlNodePtr node, const char *parent, const char *name);

#endif
