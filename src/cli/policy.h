/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options that check and backup have in common. */
#ifndef CLI_POLICY_H
#define CLI_POLICY_H

#include "cli/cli.h"

struct policy_options {
    const char *method, *require, *snapshot_dir, *agent_timeout;
    bool all;
};

/* The table's lines for a struct that begins with a struct policy_options. */
#define POLICY_OPTIONS                                                                                                            \
    { "all", 'a', NULL, "all VMs", offsetof(struct policy_options, all), NULL },                                                  \
    { "method", 'm', "METHOD", "auto (default), child or saved-state", offsetof(struct policy_options, method),                   \
      "auto|child|saved-state" },                                                                                                 \
    { "require", 0, "LEVEL", "refuse if less: application, file-system, ...", offsetof(struct policy_options, require),    \
      "application|file-system|saved-state" },                                                                                    \
    { "snapshot-dir", 0, "FOLDER", "where scratch and snapshot files go", offsetof(struct policy_options, snapshot_dir), NULL },  \
    { "agent-timeout", 0, "SECONDS", "how long a guest agent may take", offsetof(struct policy_options, agent_timeout), \
      NULL }

/* Puts the options before the settings, checks --all against the VMs named, and makes the requester ready. *ret_vms: NULL for all.
 * Returns EXIT_OK, or another with err set. */
int policy_apply(struct cli *cli, const struct policy_options *o, char **args, struct requester_policy *ret, char *const **ret_vms,
                 struct err *err);

/* An option, if it was given, goes before environment and kvss.conf. */
int policy_put_first(char **setting, const char *value);

#endif
