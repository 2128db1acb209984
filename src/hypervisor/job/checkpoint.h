/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_JOB_CHECKPOINT_H
#define HYPERVISOR_JOB_CHECKPOINT_H

#include "hypervisor/hypervisor.h"

/* A checkpoint in libvirt's form, of those disks of the VM: each of the others is named too, for libvirt would take it. created: seconds
 * since 1970, of one that is redefined; NULL: it is new. Caller frees. */
int checkpoint_text(const struct hv_domain *d, const char *name, const char *created, char *const *targets, char **ret, struct err *err);

#endif
