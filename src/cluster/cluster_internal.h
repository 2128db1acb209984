/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLUSTER_CLUSTER_INTERNAL_H
#define CLUSTER_CLUSTER_INTERNAL_H

#include "base/buf.h"
#include "base/xml.h"
#include "cluster/cluster.h"

/* cib.c. The primitive of that id, or of the VM; NULL: none (-errno: it cannot be told). */
xmlNodePtr cib_primitive(xmlNodePtr cib, const char *id);
int cib_find(xmlNodePtr cib, const char *name, const char *uuid, xmlNodePtr *ret, struct err *err);
/* An instance attribute of a primitive, or else of its template. Caller frees. */
char *cib_parameter(xmlNodePtr cib, xmlNodePtr primitive, const char *name);

/* The name of the VM in a definition; NULL: it cannot be read. Caller frees. */
char *cib_domain_name(const char *config);

/* tools.c: a command of the cluster's, by its name without folder. What it prints is in out. in: for its stdin, or NULL. -ENOTCONN: the
 * cluster does not answer, or its commands are not installed; -ENOENT: there is no such thing in its configuration. */
int cluster_tool(char *const *argv, const struct buf *in, struct buf *out, struct err *err);
/* The same, and what it printed as XML. */
int cluster_tool_xml(char *const *argv, const struct buf *in, xmlDocPtr *ret, struct err *err);

/* status.c: what crm_mon says (XML) of v->resource. Bounded, any text is fine. */
int cluster_read_status(const char *text, size_t n, struct cluster_vm *v, struct err *err);

/* lease.c: the element of the lease. NULL: out of memory. */
xmlNodePtr lease_add(xmlNodePtr primitive, const struct cluster_lease *l);
/* When the lease of that id ends, by a configuration; 0: there is none, or it does not end. */
int lease_end(xmlNodePtr cib, const char *id, int64_t *ret_us, struct err *err);
/* What crm_simulate says would be done (XML), one line each: "stop vm-web on node n1". */
int cluster_read_actions(const char *text, size_t n, char ***ret, char ***ret_resources, struct err *err);

#endif
