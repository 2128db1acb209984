/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's tools (qemu-img, qemu-nbd) parse what guests and strangers have written: they run confined. */
#ifndef HYPERVISOR_IMAGE_TOOL_H
#define HYPERVISOR_IMAGE_TOOL_H

#include "base/confine.h"

/* Of a tool that is handed its images as open files. As QEMU's user, if this host has one. */
struct confine tool_confine(bool write);
/* Of one that reads the disk of this node on the network. reach: room for the paths that the node names, which point into *ret_node. Caller
 * frees *ret_node. -ENOMEM. */
#define TOOL_REACH_MAX 16
struct tool_reach {
    char *names[TOOL_REACH_MAX + 1];
};
int tool_confine_network(const char *node, struct tool_reach *ret_reach, struct confine *ret);
void tool_reach_clear(struct tool_reach *r);

#endif
