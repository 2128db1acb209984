/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs that no index names, and who may still count on them. docs/format.md, "Pruning". */
#ifndef STORE_GARBAGE_GARBAGE_H
#define STORE_GARBAGE_GARBAGE_H

#include "store/object/object.h"

#define GARBAGE_BYTES_MAX ((size_t)1 << 20) /* of one record */

/* One gc record: these packs were without index while these sessions ran. */
struct garbage_record {
    struct object_name name;
    struct names packs, sessions;
    int64_t since_us; /* by the backend's clock; 0: not known */
};
/* -EBADMSG */
int garbage_parse(const void *p, size_t n, struct garbage_record *ret, struct err *err);
void garbage_record_free(struct garbage_record *g);

struct garbage {
    struct garbage_record *records;
    size_t n;
};
/* Reads all records; a damaged one is removed (its packs count as found just now, which is safe). */
int garbage_load(struct env *env, struct garbage *ret, struct err *err);
/* The same, and nothing is removed. */
int garbage_look(struct env *env, struct garbage *ret, struct err *err);
void garbage_free(struct garbage *g);
#define _cleanup_garbage_ _cleanup_(garbage_free)
/* The record that names the pack, or NULL. */
const struct garbage_record *garbage_find(const struct garbage *g, const struct object_name *pack);
/* Puts one or more records like this one (of its name nothing is used). */
int garbage_put(struct env *env, const struct garbage_record *record, struct err *err);
/* Removes the records that were loaded. */
int garbage_drop(struct env *env, const struct garbage *g, struct err *err);

/* The rest of what other folders see of this one. */
#include "store/garbage/set_aside.h"

#endif
