/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything kvss needs of libvirt and QEMU. Knows no VSS and no repository; the only folder that includes libvirt's headers.
 *
 * A struct hv_domain is a snapshot of what was found plus a handle to act on it; it does not follow changes by itself
 * (hv_domain_refresh_state). All calls are thread-safe as long as one hv_domain is used by one thread at a time.
 * Errors: 0 or -errno; -ENOENT no such domain, -ETIMEDOUT the agent did not answer in time, -ENOTCONN the agent is not
 * there, -EBUSY another job holds the VM, -EIO what libvirt says otherwise (its message is in the text).
 */
#ifndef HYPERVISOR_HYPERVISOR_H
#define HYPERVISOR_HYPERVISOR_H

#include "hypervisor/hv_agent.h"
#include "hypervisor/hv_definition.h"
#include "hypervisor/hv_domain.h"
#include "hypervisor/hv_host.h"
#include "hypervisor/hv_image.h"
#include "hypervisor/hv_job.h"
#include "hypervisor/hv_live.h"

#endif
