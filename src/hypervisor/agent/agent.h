/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_AGENT_AGENT_H
#define HYPERVISOR_AGENT_AGENT_H

#include "base/buf.h"
#include "hypervisor/host/host.h"

#define GUEST_FS_MAX 4096u    /* mounted file systems that are believed of one guest */
#define GUEST_DISKS_MAX 1024u /* disks under one of them */
#define AGENT_COMMANDS_MAX 4096u

/* What the guest's answer to guest-info says. Guests are untrusted. */
struct agent_commands {
    char *version;                                /* NULL: not told */
    bool freeze, thaw, status;                    /* guest-fsfreeze-*: there and enabled */
    bool freeze_disabled;                         /* there but disabled */
    bool fsinfo;                                  /* guest-get-fsinfo */
    bool file_open, file_read, file_close, files; /* guest-file-*; files: all three */
    bool file_write;                              /* guest-file-write, with opening and closing */
    bool exec_start, exec_status, exec;           /* guest-exec, guest-exec-status; exec: both */
};
int agent_json_commands(const char *text, struct agent_commands *ret, struct err *err);
/* guest-fsfreeze-status. */
int agent_json_frozen(const char *text, bool *ret, struct err *err);

/* What is mounted in a Linux guest and not in info->fs (its root's /proc/self/mountinfo, read through the agent): sets info->elsewhere
 * and info->mounts_known. Kernel interfaces (proc, tmpfs ...) and what lies on block devices are left out: those the agent lists. */
int agent_mounts_read(struct hv_domain *d, uint64_t deadline, struct hv_agent_info *info, struct err *err);
/* The same from the text of mountinfo. -EBADMSG: it makes no sense. */
int agent_mounts_parse(const char *text, struct hv_agent_info *info, struct err *err);
/* Answers to guest-exec, and to guest-exec-status (*ret_ended false: it still runs; else its exit code, a signal counted from 128, and its
 * output appended). -EBADMSG: they make no sense. -EMSGSIZE: the agent dropped the end of the output. */
int agent_json_exec(const char *text, int64_t *ret_pid, struct err *err);
int agent_json_exec_status(const char *text, struct buf *out, bool *ret_ended, int *ret_status, struct err *err);
/* Base64 (RFC 4648, padded). Caller frees; NULL: out of memory. */
char *agent_base64(const void *data, size_t n);
/* agent_file.c: guest-file-open (mode as of fopen(3)) and guest-file-close. */
int agent_file_open(struct hv_domain *d, const char *path, const char *mode, uint64_t deadline, int64_t *ret_handle, struct err *err);
int agent_file_close(struct hv_domain *d, int64_t handle, uint64_t deadline, struct err *err);
/* One answer to guest-file-read: appends the bytes. -EBADMSG: it makes no sense. */
int agent_json_file(const char *text, struct buf *b, bool *ret_eof, struct err *err);

/* Guest's OS and file systems out of libvirt's virDomainGetGuestInfo(). -EBADMSG: they make no sense. */
int agent_params_parse(virTypedParameterPtr params, int n, struct hv_agent_info *ret, struct err *err);

/* One command, answered by the deadline (monotonic ms). -ETIMEDOUT not answered, -ENOTCONN nobody there. Caller frees. */
int agent_command(struct hv_domain *d, const char *json, uint64_t deadline, char **ret, struct err *err);
/* Bounds the agent calls that libvirt makes by itself. */
int agent_set_timeout(struct hv_domain *d, uint64_t deadline, struct err *err);
/* After a failed agent call: libvirt's error as ours, not answering told from not there. */
int agent_error(struct hv_domain *d, struct err *err, const char *what);

#endif
