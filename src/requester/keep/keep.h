/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the jobs of this folder share. */
#ifndef REQUESTER_KEEP_KEEP_H
#define REQUESTER_KEEP_KEEP_H

#include "requester/context/context.h"
#include "requester/keep/keep.h"

json_t *protection_json(const struct store_protection *p); /* { "since", "until", "by" }, or null for NULL */
/* Sets "protected" of a report about the point. */
int protection_add(struct requester *rq, const char *id, json_t *report, struct err *err);

#endif
