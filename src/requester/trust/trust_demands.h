/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What definitions take from a host, as reports tell it: [ { "kind", "text", "danger": "resource|host|code|unknown" } ]. */
#ifndef REQUESTER_TRUST_TRUST_DEMANDS_H
#define REQUESTER_TRUST_TRUST_DEMANDS_H

#include "hypervisor/hypervisor.h"
#include "store/store.h"
#include "writers/vm/vm_writer.h"
#include <jansson.h>

/* The definition in a part of the point (its record says where it is stored); in the head of a saved memory. */
int demands_read_part(struct store_point *p, const struct vm_record_part *part, struct hv_def **ret, struct err *err);
int demands_read_memory(struct store_point *p, const struct vm_record_part *part, struct hv_def **ret, struct err *err);

/* A new entry of such a list, whose texts are cut where they are longer than anybody reads. NULL: out of memory. */
json_t *demands_entry(const struct hv_demand *d);
/* Adds what is not in the list yet. -ENOMEM. */
int demands_to_list(json_t *list, const struct hv_demands *d);

/* Of a VM in a point, by its record: those of all its definitions, but for the images that the point holds. A definition that cannot be
 * read is an entry of danger "unknown". */
int demands_of_record(struct store_point *p, const struct vm_record *record, json_t **ret, struct err *err);
/* Of a VM of this host: of its definition for the next start, and of the one that it runs with; without the images of disks that `record`
 * says are covered. */
int demands_of_domain(struct hv_domain *d, const struct vm_record *record, json_t **ret, struct err *err);

#endif
