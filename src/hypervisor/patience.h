/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of libvirt's that wait for a VM's QEMU, and for ever if it hangs (stopped, in a debugger, its storage gone). */
#ifndef HYPERVISOR_PATIENCE_H
#define HYPERVISOR_PATIENCE_H

#include "hypervisor/internal.h"

/* In the call's own thread: asks libvirt about dom, and puts what it tells into arg. 0 or -errno. */
typedef int patient_fn(virDomainPtr dom, void *arg, struct err *err);

struct patient_call {
    patient_fn *fn;
    void (*free_arg)(void *arg);
    bool undoing; /* part of putting something back: goes on for longer after the command was told to end */
};

/* Runs the call about d on a thread and a connection of its own, for as long as QEMU may take (30 s): while libvirt waits for one QEMU, the
 * connection and all else stay usable. -ETIMEDOUT, -EINTR (the command was told to end): it may be left behind, with *arg, which
 * becomes NULL then and is freed when it returns; whatever it was to change may still change. While one is left behind, further calls about
 * the VM fail at once. -ETIMEDOUT also where another call of libvirt's held the VM for all that time. */
int patiently(struct hv_domain *d, const struct patient_call *call, void **arg, struct err *err);
/* Forgets those that are left behind, and closes connections that are idle. */
void patience_close(struct hv *hv);

#endif
