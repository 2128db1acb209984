/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a verification found: which restore points and VMs it touches, and what is still good. */
#ifndef REQUESTER_POINT_FINDINGS_H
#define REQUESTER_POINT_FINDINGS_H

#include "store/store.h"
#include <jansson.h>
#include <stdint.h>

struct requester;

struct findings {
    json_t *problems; /* the first 1000 */
    json_t *warnings; /* what is no damage, in words */
    json_t *touched;  /* point -> names of its images and documents; every one of them */
};

int findings_begin(struct findings *f, struct err *err);
/* For store_verify() and store_check(): priv is the struct findings. */
void findings_note(void *priv, const struct store_problem *p);
/* Adds to the report
 *   "problems": [ { "what", "point", "name", "vm" } ]   (vm: the VM's name, or null),
 *   "damaged": [ { "id", "time", "vms": [ { "name", "uuid", "damaged": [ NAME ] } ], "other": [ NAME ] } ]   (names of images and
 *     documents, of the VM and of no VM; of a point that cannot be read only the id is not null),
 *   "whole": [ ID ], the points that nothing was found in,
 *   "warnings": [ TEXT ], what is no damage.
 * `only`: of this point; NULL: of all. -ENOMEM if report is NULL. */
int findings_report(struct requester *rq, const struct findings *f, const char *only, json_t *report, struct err *err);
/* verify_restorable.c: restore points that hold all their bytes, and a VM that could not be made of them: each is a finding, and is
 * counted. What a restore would say of the others is in "notes": [ { "point", "vm", "what" } ]. */
int verify_restorable(struct requester *rq, const char *only, struct findings *f, json_t *report, uint64_t *count, struct err *err);
void findings_clear(struct findings *f);

#endif
