/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs that would be down for as long as their memory takes to be saved: what live-state would buy, what it costs, and what is in its way.
 * Of this host only; what is in the way of a single VM is a warning of its report. */
#include "base/num.h"
#include "requester/check/check.h"

#define COSTS                                                                                                                     \
    "kvss then sends commands to QEMU past libvirt, which marks the VM as tainted; and vm.unprivileged_userfaultfd=1 lets every " \
    "process of this host delay the kernel's access to its memory, which makes faults of the kernel easier to exploit"

static bool is_down(const struct vm_report *r)
{
    return r->method == VM_METHOD_SAVED && r->state == HV_RUNNING && r->policy.method == VM_METHOD_AUTO && !r->refused;
}

int check_live(struct check *c, struct err *err)
{
    _cleanup_free_ char *lacks = NULL;
    bool enabled = false;
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        n += is_down(c->vms[i].report);
        enabled |= c->vms[i].report->policy.live_state;
    }
    if (!n || !hv_is_local(c->s->hv))
        return 0;
    int r = hv_live_host_lacks(&lacks, err);
    if (r < 0)
        return r;
    if (!enabled)
        check_found(c, c->findings,
                    FOUND(FINDING_NOTE, "live-state-off",
                          "to have that: live-state = yes in kvss.conf, and sysctl vm.unprivileged_userfaultfd=1. " COSTS),
                    "%zu VM%s would be down while %s saved; with live-state, memory is written while the VM runs, and it is down for a "
                    "moment only",
                    n, num_s(n), n == 1 ? "its memory is" : "their memories are");
    else if (lacks)
        check_found(c, c->findings, FOUND(FINDING_WARNING, "live-state-host", COSTS),
                    "live-state is enabled, but not possible on this host: %s", lacks);
    return 0;
}
