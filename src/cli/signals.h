/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGINT, SIGTERM and SIGHUP raise a flag; the work that goes on sees it at its next step, undoes what it did and ends. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include "base/par.h"
#include <kvss/error.h>

/* From a thread that waits for the signals, so that no handler and no global is needed. To be called before any other thread is
 * made: they are blocked everywhere from then on. `cancel` must live as long as the process. */
int signals_raise(struct par_cancel *cancel, struct err *err);

#endif
