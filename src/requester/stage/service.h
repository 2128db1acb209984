/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A service of systemd that is stopped while files of its are restored. */
#ifndef REQUESTER_STAGE_SERVICE_H
#define REQUESTER_STAGE_SERVICE_H

#include "journal/journal.h"
#include <kvss/error.h>
#include <stdbool.h>

/* "unit", "name": it runs, and is to run again, whatever becomes of the restore. Without a group, so it is undone when all files are
 * back. */
#define VERB_STOPPED_SERVICE "stopped-service"
/* "group", "unit", "name": it runs with the files of the group, and must not when they are taken away again. */
#define VERB_STARTED_SERVICE "started-service"

/* -ENOENT: systemd knows no such service; -EINVAL: it is no name of one. */
int service_check(const char *unit, struct err *err);
/* Whether it is anything but off. */
int service_runs(const char *unit, bool *ret, struct err *err);
int service_stop(const char *unit, struct err *err);
int service_restart(const char *unit, struct err *err); /* or starts it */
int service_undo_stop(void *ctx, const struct journal_effect *e, struct err *err);
int service_undo_start(void *ctx, const struct journal_effect *e, struct err *err);

#endif
