/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of libvirt's that wait for a VM's QEMU, and for ever if it hangs (stopped, in a debugger, its storage gone). */
#ifndef HYPERVISOR_HOST_PATIENCE_H
#define HYPERVISOR_HOST_PATIENCE_H

#include "hypervisor/host/hv_internal.h"

#define PATIENCE_WORKS_MS 600000u

/* In the call's own thread: asks libvirt about dom, or has it changed. dom is NULL where the call is about no VM that libvirt knows yet.
 * arg is what the caller handed over; what is learned goes there. 0, more than 0, or -errno. */
typedef int patient_fn(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err);

struct patient_call {
    patient_fn *fn;
    void (*free_arg)(void *arg);
    /* Changes a VM: better finished than left, so it goes on for longer after the command was told to end. */
    bool insists;
    unsigned extra_ms; /* what the call takes of itself, beside QEMU's answer: to read a VM's memory, say */
    /* It takes as long as it takes, and QEMU answers meanwhile: so it is asked, and the limit is for those answers. Begun by a command
     * that has been told to end already it is part of an undo, and goes on. */
    bool long_job;
    /* What has been done for it so far, in ms of processor time; 0: not known. For as long as that grows the call is waited for beyond its
     * limit, PATIENCE_WORKS_MS at most: what is slow on a busy host does not hang. Called by who waits, with what was handed over. NULL:
     * cannot be told. */
    uint64_t (*work)(const void *arg);
    bool about_hung; /* to be made also while another one is left behind: it is what helps against a QEMU that hangs */
    /* Ends what fn has begun, in a thread of its own: called when the command is told to end meanwhile. NULL: it cannot be ended. */
    patient_fn *stop;
};

/* Runs the call about d on a thread and a connection of its own, for as long as QEMU may take (30 s, extra_ms, and work): while libvirt
 * waits for one QEMU, other connections and all else stay usable. Returns what fn did. -ETIMEDOUT, -EINTR (the command was told to end):
 * it may be left behind, with *arg, which becomes NULL then and is freed when it returns; whatever it was to change may still change. So
 * who changes a VM enters that in the journal first, and the undo fails, to be tried again, for as long as libvirt is at it. While one is
 * left behind, further calls about the VM fail at once. -ETIMEDOUT also where another call of libvirt's held the VM for all that time. */
int patiently(struct hv_domain *d, const struct patient_call *call, void **arg, struct err *err);
/* The same for what libvirt does not know yet: name is for messages ("VM x", "the VM in FILE"). */
int patiently_at(struct hv *hv, const char *name, const struct patient_call *call, void **arg, struct err *err);
/* Forgets those that are left behind, and closes connections that are idle. */
void patience_close(struct hv *hv);

/* A connection that waits for the next patient call about d, so that none has to be opened then. Owned by d. */
struct patient_line;
void patient_line_free(struct patient_line *l);

/* For a call that needs nothing but the VM: fn with no arg. */
int patiently_do(struct hv_domain *d, patient_fn *fn, bool insists, struct err *err);
/* A question that QEMU itself has to answer, which taints no VM and takes no time: what else is asked libvirt may know by heart. */
patient_fn patience_ask_qemu;

#endif
