/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shadow copy providers that come with kvss. */
#ifndef PROVIDERS_PROVIDERS_H
#define PROVIDERS_PROVIDERS_H

#include "base/log.h"
#include "hypervisor/hypervisor.h"
#include "journal/journal.h"
#include <kvss/error.h>
#include <kvss/provider.h>

#define QEMU_PROVIDER_ID "9b6d1c1e-5a43-4b0e-9a57-3c1f6b0e7a21"

#define COPY_PROVIDER_ID "5a1f8c0e-6d0b-4b1c-9c53-0e6f4a7d2b18"

/* The `qemu` provider: points in time by QEMU's pull backup jobs; images of VMs that are off are read under QEMU's image lock.
 * Needs no particular file system. It shadows the VMs' disks on the volumes that it was told of, and no other file there. */
struct qemu_provider;
struct qemu_provider_config {
    struct hv *hv;
    struct journal *journal;  /* its verbs include qemu_provider_verbs; NULL: only questions (is_volume_supported) */
    const char *snapshot_dir; /* for scratch files; NULL: beside each image */
    const char *session_dir;  /* for sockets: goes with the session; NULL: the run-time folder */
    /* Bytes that have to stay free where scratch files lie: when less are, all jobs are given up (B2: a full disk never stops a
     * guest). 0: a twentieth of the file system, at most 1 GiB. */
    uint64_t scratch_reserve;
    uint64_t scratch_limit;   /* bytes that the scratch files of one VM may take, else all jobs are given up too. 0: no limit */
    const struct log *log;
};
int qemu_provider_new(const struct qemu_provider_config *config, struct qemu_provider **ret, struct err *err);
void qemu_provider_free(struct qemu_provider *p);
/* A volume on which VMs of the session have disks. */
int qemu_provider_shadow(struct qemu_provider *p, const char *volume, struct err *err);
/* 0, or -ENOSPC with the reason once the jobs were given up: what is read from them since is worthless. Any thread. */
int qemu_provider_given_up(struct qemu_provider *p, struct err *err);
/* The UUID of the VM for which they were given up: it took more than it may, or the most of what there was. NULL: none. Caller frees. */
char *qemu_provider_whose(struct qemu_provider *p);
/* -ENOSPC with reason and remedy: there is too little room for scratch files in the folder. What cannot be looked at is no failure. */
int qemu_scratch_room(const char *dir, uint64_t reserve_wanted, struct err *err);
/* What has to stay free on a file system of that size. */
uint64_t qemu_scratch_reserve(uint64_t wanted, uint64_t total);
extern const struct kvss_provider qemu_provider_ops; /* register with priv = struct qemu_provider * */
extern const struct journal_verb qemu_provider_verbs[]; /* ctx is the struct hv * */

/* The `copy` provider: files that belong to other writers, copied by its owner while they are held, in CommitSnapshots. */
struct copy_provider;
struct copy_provider_config {
    int (*take)(void *priv, struct err *err); /* makes the copies; must end soon after its time, or `stop`. NULL: there is nothing */
    void (*stop)(void *priv);                 /* any thread; may be NULL */
    void (*free)(void *priv);                 /* may be NULL */
    void *priv; /* taken over: freed with the provider, or later, by a take that did not return in time */
};
int copy_provider_new(const struct copy_provider_config *config, struct copy_provider **ret, struct err *err);
void copy_provider_free(struct copy_provider *p); /* NULL is fine */
/* A volume with files that will be copied. */
int copy_provider_shadow(struct copy_provider *p, const char *volume, struct err *err);
extern const struct kvss_provider copy_provider_ops; /* register with priv = struct copy_provider * */

#endif
