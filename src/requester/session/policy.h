/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wanted of each VM: of the run, of single VMs by kvss.conf, and what earlier attempts of the run have taught. */
#ifndef REQUESTER_SESSION_POLICY_H
#define REQUESTER_SESSION_POLICY_H

#include "requester/session/session.h"

struct policy_of {
    const char *vm; /* name or UUID; borrowed */
    struct vm_policy policy;
};

/* A VM whose guest could not be quiesced: now it gets what its fallback is. Both owned. */
struct policy_learnt {
    char *uuid, *why;
};

struct policies {
    struct vm_policy all;
    char *const *exclude_disks; /* "VM:DISK", see policies_excluded(); borrowed; NULL: none */
    size_t n, n_learnt;
    struct policy_of *of;
    struct policy_learnt *learnt;
};

/* Which VMs: those named (NULL: all, or those with its tags), as far as the policy takes them. */
struct vm_selection policy_selection(char *const *names, const struct requester_policy *policy);
/* -EINVAL: a word that is none, err names it and the VM. */
int policies_parse(const struct requester_policy *policy, struct policies *ret, struct err *err);
void policies_clear(struct policies *p);
/* For struct vm_writer_config; priv is a struct policies *. A VM that is listed by name and by UUID: what comes first. */
struct vm_policy policies_find(void *priv, const char *name, const char *uuid);
/* The pattern "VM:DISK" that leaves the disk out: VM is a name, a UUID, or as DISK a pattern (fnmatch(3)) of names. NULL: none. For struct
 * vm_writer_config, as above. */
const char *policies_excluded(void *priv, const char *name, const char *uuid, const char *target);
/* One such pattern: whether its VM is this one, and its disk. */
bool policy_pattern_has(const char *pattern, const char *name, const char *uuid, const char *target, bool *ret_vm);
/* Whether its fallback would do for a VM whose guest could not be quiesced; guest_refused: it was for the writers in it. */
bool policy_may_fall_back(const struct vm_policy *p, bool guest_refused);
/* From now on the VM gets what its fallback is, and why. */
int policies_learn(struct policies *p, const char *uuid, const char *why, struct err *err);

#endif
