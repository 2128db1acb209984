/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs that a Pacemaker cluster manages (resource agent VirtualDomain), asked of the cluster and changed through it (M19, behaviour 41).
 * What would stop such a VM behind its cluster's back is taken for a failure, and the VM is started again, perhaps on another host.
 *
 * The cluster is reached by its own commands; nothing of it is linked. Where its configuration is not on this host, there is none. Where it
 * is, and the cluster does not answer, that is an error and never "not clustered". */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The Pacemaker resource (agent VirtualDomain) that manages the VM of this name or UUID, by the cluster's configuration on this host. *ret
 * (caller frees) is its id; NULL: none does, or there is no cluster. -errno: there is a cluster, and it cannot be told. Asks nobody. */
int cluster_resource(const char *name, const char *uuid, char **ret, struct err *err);
/* The same by the configuration (CIB) in this file. */
int cluster_resource_in(const char *cib, const char *name, const char *uuid, char **ret, struct err *err);

/* Whether Pacemaker's configuration is on this host, so that there may be a cluster that manages VMs. Its VMs are root's. */
bool cluster_is_configured(void);

/* A VM as its cluster sees it. */
struct cluster_vm {
    char *resource; /* id of the primitive */
    char *config;   /* the file that has its definition */
    char *domain;   /* name of the VM in there; NULL: the file cannot be read here */
    char *snapshot; /* folder in which the agent saves it when it is stopped; NULL: it is shut down then */
    char *here;     /* name of this node */
    bool copies;    /* in a clone or bundle: there may be several of it */
    /* As of the last cluster_look(): */
    char *role;        /* "Started", "Stopped", "Starting" ... */
    char *node;        /* where it is active, NULL: nowhere */
    char *disagree;    /* an online node is missing, or unclean: its name; NULL: none */
    unsigned n_active; /* on how many nodes it is */
    bool uncertain;    /* a node was lost and may still run it, or this side of the cluster has no quorum */
    bool managed, failed, blocked, orphaned;
    bool watched; /* a monitor recurs */
    bool pending; /* something is being done with it */
};
void cluster_vm_clear(struct cluster_vm *v);

/* 1 and *ret, which is to be cleared in every case; 0: no cluster manages it. -ENOTCONN: one does, by its configuration on this host, and
 * does not answer. */
int cluster_ask(const char *name, const char *uuid, struct cluster_vm *ret, struct err *err);
/* By the resource, for who knows it: as cluster_ask(), but -ENOENT: there is no such resource. */
int cluster_ask_resource(const char *resource, struct cluster_vm *ret, struct err *err);
/* Asks again how it is. */
int cluster_look(struct cluster_vm *v, struct err *err);
/* Looks until `is` holds, for at most ms. -ETIMEDOUT: "the cluster WHAT". */
int cluster_wait(struct cluster_vm *v, bool (*is)(const struct cluster_vm *v), unsigned ms, const char *what, struct err *err);
bool cluster_is_idle_hand(const struct cluster_vm *v); /* it leaves the VM alone: neither managed nor monitored, and nothing under way */
bool cluster_is_in_charge(const struct cluster_vm *v); /* managed, started and monitored */
bool cluster_is_stopped(const struct cluster_vm *v);   /* nowhere active, and nothing under way */

/* What kvss asks of a cluster for a while: a block of meta attributes of the resource, which outranks the administrator's, has an id of its
 * session's, and ends by itself. */
enum cluster_order {
    CLUSTER_HANDS_OFF, /* maintenance=true: it is neither monitored, nor started or stopped anywhere */
    CLUSTER_STOP,      /* target-role=Stopped */
};
struct cluster_lease {
    const char *resource;
    const char *id; /* unique: of characters that an XML id may have */
    enum cluster_order order;
    unsigned seconds; /* from now on; 0: it does not end by itself */
};
/* Whether it would touch anything but the VM, by what the cluster itself says it would do. -EBUSY: it would; 0. */
int cluster_lease_foresee(const struct cluster_lease *l, struct err *err);
/* Puts it in place, or changes it. The cluster follows it later. -ENOENT: there is no such resource any more. */
int cluster_lease_set(const struct cluster_lease *l, struct err *err);
/* Makes one that ends by itself last longer, from now on. -ENOENT: it is not there, and is not put in place again. */
int cluster_lease_renew(const struct cluster_lease *l, struct err *err);
/* A short one that is renewed by a thread until cluster_keep_end(), which leaves it in place. fresh: it is put in place first; else it must
 * be there (-ENOENT). */
struct cluster_keep;
int cluster_keep_start(const struct cluster_lease *l, bool fresh, struct cluster_keep **ret, struct err *err);
bool cluster_keep_holds(struct cluster_keep *k); /* it has been in force all the time, and is for a while yet */
void cluster_keep_end(struct cluster_keep *k);   /* NULL is fine */
/* How long a lease that ends by itself is still in force; 0: it is not, or there is none. */
int cluster_lease_left(const char *id, unsigned *ret_seconds, struct err *err);
/* What the cluster knows of the resource is found out again, on all nodes. */
int cluster_refresh(const char *resource, struct err *err);
/* Takes it away; none of that id is fine. */
int cluster_lease_drop(const char *id, struct err *err);

#endif
