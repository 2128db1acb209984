/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_DOMAIN_DOMAIN_STATE_H
#define HYPERVISOR_DOMAIN_DOMAIN_STATE_H

#include "hypervisor/hypervisor.h"

/* libvirt's state and reason as ours; *ret_detail is constant text. saved: there is a managed-save image. */
enum hv_state domain_state_from(int state, int reason, bool saved, const char **ret_detail);

#endif
