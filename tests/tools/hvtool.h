/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_HVTOOL_H
#define TESTS_HVTOOL_H

#include "base/cleanup.h"
#include "hypervisor/hypervisor.h"

struct call {
    struct hv *hv;
    int argc; /* without the command's name */
    char **argv;
};

struct command {
    const char *name, *usage;
    int min_args;
    bool offline; /* needs no connection: hv is NULL */
    int (*fn)(struct call *c, struct err *err);
};

/* Each ends with an empty entry. */
extern const struct command hvtool_domain_commands[], hvtool_storage_commands[];

/* Argument i, or what else it is. */
const char *argument(const struct call *c, int i, const char *otherwise);
/* Runs fn on the VM that the first argument names. */
int with_domain(struct call *c, int (*fn)(struct call *c, struct hv_domain *d, struct err *err), struct err *err);

#endif
