/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VMs a cluster manages. kvss does not act through clusters yet: whatever would stop such a VM behind its cluster's back is refused
 * (behaviour 41), for the cluster takes it for a failure, and starts the VM elsewhere on the same images. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <kvss/error.h>

/* The Pacemaker resource (agent VirtualDomain) that manages the VM of this name or UUID, by the cluster's configuration on this host. *ret
 * (caller frees) is its id; NULL: none does, or there is no cluster. -errno: there is a cluster, and it cannot be told. */
int cluster_resource(const char *name, const char *uuid, char **ret, struct err *err);
/* The same by the configuration (CIB) in this file. */
int cluster_resource_in(const char *cib, const char *name, const char *uuid, char **ret, struct err *err);

#endif
