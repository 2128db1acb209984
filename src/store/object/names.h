/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sorted sets of object names. */
#ifndef STORE_OBJECT_NAMES_H
#define STORE_OBJECT_NAMES_H

#include "store/object/env.h"

struct names {
    struct object_name *list;
    size_t n;
};
void names_free(struct names *x);
#define _cleanup_names_ _cleanup_(names_free)

/* Adds at the end; sort before looking up. */
int names_add(struct names *x, const struct object_name *name); /* 0 or -ENOMEM */
void names_sort(struct names *x);                               /* and drops repetitions */
bool names_has(const struct names *x, const struct object_name *name);
/* Objects of the folder whose names are of this kind; sorted. */
int names_list(struct env *env, const char *folder, struct names *ret, struct err *err);

#endif
