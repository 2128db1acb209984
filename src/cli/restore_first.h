/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A way back from a restore: what it replaces is backed up first, and can be brought back. */
#ifndef CLI_RESTORE_FIRST_H
#define CLI_RESTORE_FIRST_H

#include "cli/cli.h"

/* How the labels of such backups begin. */
#define RESTORE_FIRST_LABEL "before restore of "

/* days: of a protection of that restore point, 0: none. job->point is set to the very point that is restored, which *ret_point owns, since
 * "latest" would be another one afterwards. *ret: { "point", "until", "vms": [ NAME ], "disks": [ TARGET ], or null where whole VMs are
 * restored }, or NULL: nothing is replaced. An exit code. */
int restore_backup_first(struct cli *cli, struct requester_restore *job, unsigned days, char **ret_point, json_t **ret, struct err *err);
/* The newest restore point that this host made so and that holds all of the VMs; caller frees. An exit code. */
int restore_find_undo(struct cli *cli, char *const *vms, char **ret_point, struct err *err);

#endif
