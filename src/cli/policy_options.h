/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options that check and backup have in common. */
#ifndef CLI_POLICY_OPTIONS_H
#define CLI_POLICY_OPTIONS_H

#include "cli/cli.h"

#define POLICY_METHODS "auto|child|live-state|saved-state|crash"
#define POLICY_LEVELS "application|file-system|saved-state"
#define POLICY_STATES "running|paused|off|saved"
#define POLICY_FALLBACKS "auto|saved-state|file-system|crash|fail"

struct policy_options {
    const char *method, *require, *fallback, *provider, *snapshot_dir, *scratch_reserve, *agent_timeout;
    char **exclude, **exclude_disks, **tags, **states;
    const char *set;
    bool all;
};

/* What is wanted of the VMs; owns what the policy points to. */
struct policy_choice {
    struct requester_policy policy;
    struct requester_vm_policy *vms_policies;
    char **exclude;                        /* patterns of the options and of the settings; owned */
    char **exclude_disks, **tags, **names; /* the same; owned */
    char *const *vms;                      /* NULL: all */
};
void policy_choice_clear(struct policy_choice *c);

/* The table's lines for a struct that begins with a struct policy_options. */
/* clang-format off */
#define POLICY_OPTIONS                                                                                                            \
    { "all", 'a', NULL, "all VMs", offsetof(struct policy_options, all), NULL },                                                  \
    { "tag", 0, "NAME", "VMs that have this tag (repeatable)", offsetof(struct policy_options, tags), NULL, .list = true },       \
    { "state", 0, "STATE", "only VMs in this state (repeatable)", offsetof(struct policy_options, states), POLICY_STATES,         \
      .list = true },                                                                                                             \
    { "exclude", 'x', "NAME", "leave out VMs that match (repeatable)", offsetof(struct policy_options, exclude), NULL,            \
      .list = true },                                                                                                             \
    { "exclude-disk", 0, "VM:DISK", "leave out this disk (repeatable)", offsetof(struct policy_options, exclude_disks), NULL,     \
      .list = true },                                                                                                             \
    { "set", 0, "NAME", "the VMs of [set NAME] in kvss.conf", offsetof(struct policy_options, set), NULL },                       \
    { "method", 'm', "METHOD", "auto (default), child, live-state, ...", offsetof(struct policy_options, method),                   \
      POLICY_METHODS },                                                                                                           \
    { "require", 0, "LEVEL", "refuse lower: application, file-system, ...", offsetof(struct policy_options, require),    \
      POLICY_LEVELS },                                                                                                            \
    { "fallback", 0, "WHAT", "if freeze fails: auto (default), saved-state, ...", offsetof(struct policy_options, fallback),         \
      POLICY_FALLBACKS },                                                                                                         \
    { "provider", 0, "NAME", "who snapshots VM disks: auto (default), qemu, ...", offsetof(struct policy_options, provider), NULL }, \
    { "snapshot-dir", 0, "FOLDER", "where scratch and snapshot files are created", offsetof(struct policy_options, snapshot_dir), NULL },  \
    { "scratch-reserve", 0, "SIZE", "free space to leave on that volume", offsetof(struct policy_options, scratch_reserve), NULL },      \
    { "agent-timeout", 0, "SECONDS", "how long to wait for a guest agent", offsetof(struct policy_options, agent_timeout), \
      NULL }
/* clang-format on */

/* What environment and kvss.conf want of VMs, of which none is excluded. -ENOMEM. */
int policy_of_settings(struct cli *cli, struct policy_choice *ret, struct err *err);
/* Puts the options before the settings, checks --all against the VMs named, and makes the requester ready. What an option says holds
 * for all VMs, also for those with a section in kvss.conf. Returns EXIT_OK, or another with err set. */
int policy_apply(struct cli *cli, const struct policy_options *o, char **args, struct policy_choice *ret, struct err *err);

#endif
