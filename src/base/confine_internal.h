/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of confine.h, for proc_spawn(). */
#ifndef BASE_CONFINE_INTERNAL_H
#define BASE_CONFINE_INTERNAL_H

#include "base/confine.h"
#include <stddef.h>

/* Made before the fork: a child of a process with threads may ask for no memory. */
struct confine_site {
    char *program;    /* its real path */
    char *folders[4]; /* where it lies, and libraries may beside it, if that is none of the system's own folders; ends with NULL */
    size_t n_fds;     /* it has this many descriptors, from 3 on */
    bool all_files;   /* neither a root folder of its own nor Landlock */
};

/* Finds the program as execvp() would. -ENOENT, -EACCES, -ENOMEM. */
int confine_find(const char *name, struct confine_site *ret);
void confine_site_clear(struct confine_site *s);

/* ---- In the child. Only what is safe after a fork of a process with threads. ---- */

/* All but the filter. Returns what it has to go without (enum confine_lack). */
unsigned confine_enter(const struct confine *c, const struct confine_site *site);
/* The last thing before exec. */
unsigned confine_filter(const struct confine *c);

/* A root folder of its own, of system folders that cannot be written and the process's descriptors. False: all is as it was. */
bool confine_root(const struct confine *c, const struct confine_site *site);
/* Landlock: the same folders, and the descriptors. own_root: confine_root() has been there. False: the kernel has none. */
bool confine_landlock(const struct confine *c, const struct confine_site *site, bool own_root);
/* What both lists have in common; each ends with NULL. The second: of programs that use the network. */
extern const char *const confine_system[], *const confine_names[];

#endif
