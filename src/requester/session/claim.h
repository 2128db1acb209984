/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which session has a VM (behaviour 42): a locked file per VM, in which its owner says who it is. The kernel lets go of the lock when
 * the owner dies, however it dies. Jobs of other programs are libvirt's to tell. */
#ifndef REQUESTER_SESSION_CLAIM_H
#define REQUESTER_SESSION_CLAIM_H

#include "requester/session/session.h"

/* For how long something that is held by others is waited for. */
struct patience {
    uint64_t end_ms; /* monotonic; 0: not at all; UINT64_MAX: for ever */
    bool stubborn;   /* of what is done after a cancellation too */
};
struct patience patience_begin(uint64_t wait_ms); /* UINT64_MAX: for ever */
/* Waits a moment. 1: look again; 0: the time is over; -EINTR. */
int patience_wait(struct requester *rq, const struct patience *p, struct err *err);

struct claims;
struct claim_for {
    const char *what; /* "backup" */
    bool change;      /* for one session alone, whatever state the VM is in, and also a VM that this host does not have (yet);
                       * else those that are off are shared with other sessions that only read them */
};
/* Claims VMs. -EBUSY: err names the VM and its owner (what, pid, host, since). Waits also until the VMs have no job of another program,
 * which is no failure here. */
int claims_take(struct requester *rq, struct hv *hv, char *const *uuids, const struct claim_for *purpose, const struct patience *patience,
                struct claims **ret, struct err *err);
/* Claims what may be in one snapshot set at a time: all writers but the VM writer. -EBUSY, VSS_E_SNAPSHOT_SET_IN_PROGRESS. */
int claims_take_writers(struct requester *rq, const struct patience *patience, struct claims **ret, struct err *err);
void claims_free(struct claims *c); /* lets go; NULL is fine */
/* Removes the files that owners who were killed left behind; those that somebody has, this process too, are not touched. */
void claims_sweep(const char *sessions);

#endif
