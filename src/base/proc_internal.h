/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What proc_run() and proc_start() share: one fork and exec. */
#ifndef BASE_PROC_INTERNAL_H
#define BASE_PROC_INTERNAL_H

#include "base/confine.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct proc_spawn {
    char *const *argv;
    const char *name;     /* what errors call it; NULL: argv[0] */
    char *const *env;     /* added to ours; may be NULL */
    int in, out, err;     /* become 0, 1 and 2; the caller closes its own */
    bool die_with_thread; /* SIGTERM to the child when the thread that called ends */
    const int *pass;      /* descriptors that become 3, 4 ... in the child; the caller closes its own */
    size_t n_pass;
    const struct confine *confine; /* NULL: it has all that we have */
    bool outlives_endings;         /* SIGINT, SIGTERM, SIGHUP and SIGQUIT are ignored in the child from the start */
};

/* Forks and executes, in a new process group. Returns when the program runs, or with the reason why it does not. */
int proc_spawn(const struct proc_spawn *s, pid_t *ret, struct err *err);

/* Exit code, or 128 + signal, from the si_code and si_status that waitid() found. */
int proc_status(int how, int value);

#endif
