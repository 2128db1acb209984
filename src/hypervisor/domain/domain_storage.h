/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_DOMAIN_DOMAIN_STORAGE_H
#define HYPERVISOR_DOMAIN_DOMAIN_STORAGE_H

#include "hypervisor/hypervisor.h"

/* The same at a glance, see hv_list(). -ENOMEM. */
int domain_storage_glance(struct hv_domain *d, struct err *err);

/* Fills what the definition text does not tell about d->disks: virtual size, and backing chains where xml leaves them out. What
 * cannot be found out stays 0 or NULL. active: QEMU has the disks open. */
int domain_storage_fill(struct hv_domain *d, const char *xml, bool active, struct err *err);

/* saved_size.c: the most that QEMU saves beside the guest's memory, in bytes. */
uint64_t saved_size_beside_memory(const struct hv_domain *d);

/* The rest of what other folders see of this one. */
#include "hypervisor/domain/busy.h"
#include "hypervisor/domain/domain_dir.h"
#include "hypervisor/domain/domain_process.h"
#include "hypervisor/domain/domain_state.h"

#endif
