/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions about a definition that libvirt or the host answers: volumes of storage pools, kinds of host devices. */
#ifndef HYPERVISOR_HOST_HOST_H
#define HYPERVISOR_HOST_HOST_H

#include "hypervisor/xml/definition.h"

/* The environment for domain_xml_parse() that asks hv. */
struct domain_xml_env host_env(struct hv *hv);

/* What the <source> of a USB device names, if this host does not have it now: "1d6b:0002" or "bus 1 device 2". NULL: it has, or nobody can
 * tell. Caller frees. */
char *host_usb_gone(struct hv *hv, xmlNodePtr source);

/* The rest of what other folders see of this one. */
#include "hypervisor/host/hv_internal.h"
#include "hypervisor/host/image_memory.h"
#include "hypervisor/host/patience.h"

#endif
