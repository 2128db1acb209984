/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest agent: every call ends by its deadline. */
#ifndef HYPERVISOR_HV_AGENT_H
#define HYPERVISOR_HV_AGENT_H

#include "base/par.h"
#include "hypervisor/hv_domain.h"

enum hv_agent_status {
    HV_AGENT_OK,
    HV_AGENT_NO_CHANNEL,     /* not in the definition */
    HV_AGENT_NOT_CONNECTED,  /* not installed or not running in the guest */
    HV_AGENT_NOT_RESPONDING, /* hung */
    HV_AGENT_NO_FREEZE,      /* answers, but guest-fsfreeze-* is missing or disabled */
    HV_AGENT_FAILED,         /* anything else: why says what */
};
struct hv_guest_fs {
    char *mountpoint, *type; /* "/", "ext4" */
    char *device;            /* "/dev/vda1", "dm-0"; or NULL */
    char **targets;          /* disks of the VM it lies on ("vda"); NULL: none could be told */
    /* Part of it lies on a disk that is none of the VM's (iSCSI or the like in the guest), or on one that libvirt cannot match to
     * the VM's by its address (USB). */
    bool unknown_disk;
    bool read_only; /* where it can be told */
};
struct hv_agent_info {
    enum hv_agent_status status;
    char *why;                       /* for people, with the remedy; NULL when OK */
    char *version, *os_id, *os_name; /* may be NULL */
    bool windows;
    bool can_read_files;  /* guest-file-open, -read and -close are allowed */
    bool can_write_files; /* guest-file-open, -write and -close are */
    bool can_exec;        /* guest-exec is */
    size_t n_fs;
    struct hv_guest_fs *fs;
    /* Mounted in a Linux guest, but not on a block device, so that the agent neither lists nor freezes it: network and FUSE file systems,
     * overlays, ZFS, bcachefs. `device` is the mount's source. Only where mounts_known: the agent let us look. */
    bool mounts_known;
    size_t n_elsewhere;
    struct hv_guest_fs *elsewhere;
};
/* Never fails for reasons of the agent: those are in status. */
int hv_agent_probe(struct hv_domain *d, unsigned timeout_ms, struct hv_agent_info *ret, struct err *err);
/* Asks only what may have changed since: whether it answers, and has not frozen the guest meanwhile. Nothing but status and why is set. */
int hv_agent_probe_again(struct hv_domain *d, unsigned timeout_ms, struct hv_agent_info *ret, struct err *err);
void hv_agent_info_clear(struct hv_agent_info *i);
/* Whether a file system of this type can be frozen by the guest's kernel (Linux: ext*, xfs, btrfs, f2fs ...; Windows: NTFS, ReFS). */
bool hv_fs_freezable(const char *type, bool windows);
/* Freezes all (mountpoints NULL) or the named; *ret_n: how many were frozen. -EBUSY: frozen already, by someone else, or another
 * program's call holds the agent; -EHOSTUNREACH: it did not answer a question: nothing was done in either case. After other failures
 * the agent has thawed or was told to; but after -ETIMEDOUT it may not have heard: a freeze can be carried out late, so keep trying
 * hv_agent_thaw() until that succeeds (B2). */
int hv_agent_freeze(struct hv_domain *d, char *const *mountpoints, unsigned timeout_ms, unsigned *ret_n, struct err *err);
/* *ret_n (may be NULL): how many were thawed. -ENOTCONN: no agent runs in the guest; -ETIMEDOUT: it does not answer; -ENOLINK: one may
 * run, but libvirt has lost it and does not even ask (see hv_agent_reconnect). */
int hv_agent_thaw(struct hv_domain *d, unsigned timeout_ms, unsigned *ret_n, struct err *err);
/* Makes libvirt connect to the agent anew, by the only way there is short of restarting either: the VM is saved and started from that,
 * so it stands still meanwhile, and a process that dies in between leaves it saved. For a guest that is frozen already. -EBUSY: it has a
 * job; other codes: it cannot be saved, or not be started. */
int hv_agent_reconnect(struct hv_domain *d, struct err *err);
/* Runs a program in the guest: one word as argument, and more where `more` is not NULL (NULL-terminated); `input` on its stdin. Strings
 * are borrowed. */
struct hv_agent_run {
    const char *path, *word, *const *more, *input;
    size_t out_max;                  /* bytes of its stdout */
    unsigned timeout_ms;             /* it is left to itself then: -ETIMEDOUT */
    const struct par_cancel *cancel; /* raised: the same, but -EINTR; may be NULL */
};
/* *ret_out (caller frees) is its stdout, *ret_status its exit code. A code other than 0 is no failure. -ENOENT: the agent could not start
 * it, or may not; -EFBIG: it wrote more than out_max; -ETIMEDOUT, -ENOTCONN: the agent does not answer, is not there. */
int hv_agent_exec(struct hv_domain *d, const struct hv_agent_run *run, char **ret_out, int *ret_status, struct err *err);
/* Writes a file in the guest, as the agent's user and with its umask, over one that is there; in pieces, because qemu-ga hangs if a program
 * gets more than a pipe holds on its stdin. What an attempt that failed has written stays. -ETIMEDOUT, -ENOTCONN: as above; -EINTR:
 * `cancel` (may be NULL) was raised; other codes: the agent could not, or may not (can_write_files). */
struct hv_agent_file {
    const char *path;
    const void *data;
    size_t len;
    unsigned timeout_ms;
    const struct par_cancel *cancel;
};
int hv_agent_write(struct hv_domain *d, const struct hv_agent_file *file, struct err *err);
/* As hv_agent_exec(), of kvss-guest alone: over its own channel org.kvss.guest.0 where the VM has one that the guest listens on, else
 * through the agent. The answer is JSON, and *ret_status 0 over the channel. */
int hv_guest_run(struct hv_domain *d, const struct hv_agent_run *run, char **ret_out, int *ret_status, struct err *err);
bool hv_guest_has_channel(struct hv_domain *d);
int hv_agent_frozen(struct hv_domain *d, unsigned timeout_ms, bool *ret, struct err *err);

#endif
