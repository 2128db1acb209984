/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_DOMAIN_BUSY_H
#define HYPERVISOR_DOMAIN_BUSY_H

#include "hypervisor/hypervisor.h"

/* The job of an active VM: 1 and its VIR_DOMAIN_JOB_OPERATION_*, 0 none, -errno. Block jobs are not among them. */
int busy_operation(struct hv_domain *d, int *ret, struct err *err);

#endif
