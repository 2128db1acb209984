/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGINT, SIGTERM and SIGHUP raise a flag; the work that goes on sees it at its next step, undoes what it did and ends. What hangs
 * sees no flag: a second signal ends the process, and its watchdog does the rest. So does the watchdog's own signal. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include "base/par.h"
#include <kvss/error.h>

struct signals {
    struct par_cancel *cancel;
    void (*asked)(void *priv);          /* the first time */
    void (*end)(void *priv, bool late); /* at once; late: the watchdog wants it. Ends the process */
    void *priv;
};

/* From a thread that waits for the signals, so that no handler and no global is needed. To be called before any other thread is
 * made: they are blocked everywhere from then on. All of `signals` must live as long as the process. */
int signals_wait(const struct signals *signals, struct err *err);

#endif
