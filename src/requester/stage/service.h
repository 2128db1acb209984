/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A service of systemd that is stopped while files of its are restored. */
#ifndef REQUESTER_STAGE_SERVICE_H
#define REQUESTER_STAGE_SERVICE_H

#include "journal/journal.h"
#include <kvss/error.h>
#include <stdbool.h>

/* "group", "unit": it runs, and is to run when the group is undone or committed. */
#define VERB_STOPPED_SERVICE "stopped-service"

/* -ENOENT: systemd knows no such service; -EINVAL: it is no name of one. */
int service_check(const char *unit, struct err *err);
/* Whether it runs, or is just about to. */
int service_runs(const char *unit, bool *ret, struct err *err);
int service_stop(const char *unit, struct err *err);
int service_start(const char *unit, struct err *err);
/* As it is now, with the files that are there now; one that is off stays off. */
int service_restart(const char *unit, struct err *err);
int service_undo(void *ctx, const struct journal_effect *e, struct err *err);

#endif
