/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share. */
#ifndef HYPERVISOR_LIVE_LIVE_H
#define HYPERVISOR_LIVE_LIVE_H

#include "base/json.h"
#include "hypervisor/host/host.h"
#include "hypervisor/hypervisor.h"

#define CAPABILITY "background-snapshot"
#define STREAM_NAME "kvss-memory" /* what the stream's end is called in QEMU */

/* ---- monitor.c: commands to QEMU itself. Each taints the domain (custom-monitor). ------------------------------------------------*/
/* arguments may be NULL (taken over); fd: handed over with the command, -1: none. *ret (may be NULL): what it returned, the caller's.
 * QEMU's own refusals are -EPROTO, with its text. -ETIMEDOUT, -EINTR as other calls that wait for QEMU. */
int monitor_command(struct hv_domain *d, const char *command, json_t *arguments, int fd, json_t **ret, struct err *err);

/* ---- live_migration.c: the outgoing migration of QEMU's and the capability ---------------------------------------------------------*/
enum live_status {
    LIVE_NONE,      /* there was none since QEMU was started */
    LIVE_ACTIVE,    /* it runs, or is just being cancelled */
    LIVE_COMPLETED, /* the last one came to its end */
    LIVE_FAILED,    /* or did not */
};
struct live_progress {
    enum live_status status;
    uint64_t bytes; /* of memory that were sent */
    char why[256];  /* what QEMU says of a failure; "": nothing */
};
int live_migration_progress(struct hv_domain *d, struct live_progress *ret, struct err *err);
/* Which capabilities of migrations are on, and whether QEMU has this one at all. */
struct live_capabilities {
    bool offered, on;
    char *clash; /* one that is on and excludes it; NULL: none. Caller frees */
};
int live_capabilities(struct hv_domain *d, struct live_capabilities *ret, struct err *err);
int live_set_capability(struct hv_domain *d, bool on, struct err *err);

/* ---- live_release.c ----------------------------------------------------------------------------------------------------------------*/
/* Whether QEMU has a userfaultfd: its memory is protected, or was, and QEMU has not tidied up yet. False also where nobody can tell. */
bool live_is_protected(const struct hv_domain *d);
/* Whoever in QEMU waits because its memory is protected goes on, as far as this process may do that. all: and it is not to be protected
 * again, of a QEMU that has left it so. */
void live_release(const struct hv_domain *d, bool all);
/* From now on again and again (not all), until the end: a cancel may be heard only after the memory was protected. NULL: once. */
struct releaser;
struct releaser *live_release_begin(const struct hv_domain *d);
void live_release_end(struct releaser *r); /* NULL is fine */
DEFINE_CLEANUP(struct releaser *, live_release_end)

/* ---- live_mark.c -------------------------------------------------------------------------------------------------------------------*/
/* On disk before it returns. *ret_lock: its lock, the caller's to close: as long as this process has it, no other one may undo anything. */
int live_mark(struct hv_domain *d, int *ret_lock, struct err *err);
/* -EBUSY: another process that lives has the lock. */
int live_check_lock(const struct hv_domain *d, struct err *err);
/* 1: the QEMU that runs now has it. 0: not, or it is that of an earlier one, and was removed. */
int live_is_marked(struct hv_domain *d, struct err *err);

/* ---- live_head.c: what stands before QEMU's stream in a save image of libvirt's --------------------------------------------------*/
/* xml: the definition as libvirt would save it (migratable, with secrets); live: as the VM runs. Both texts of libvirt. */
int live_head(const char *xml, const char *live, struct buf *ret, struct err *err);
#define LIVE_HEAD_ALIGN 65536u /* the stream begins at a multiple of this */

/* ---- live_spool.c: from the stream into the image, by a thread of its own --------------------------------------------------------*/
struct spool;
/* Takes over both descriptors. */
int spool_start(int from, int to, uint64_t max_bytes, struct spool **ret, struct err *err);
struct spool_progress {
    uint64_t bytes;
    bool drained; /* all that was sent has been taken: nobody waits for it any more */
    bool ended;   /* and it is on disk, unless: */
    int error;    /* errno of a failure; EFBIG: there was too much */
};
/* Waits, at most so long, until there is more of it. */
struct spool_progress spool_progress(struct spool *s, unsigned wait_ms);
/* From now on what comes is taken and thrown away, also while a write hangs. */
void spool_discard(struct spool *s);
/* NULL is fine. As spool_discard(), by threads of its own until QEMU closes its end: the stream never breaks while this process lives. */
void spool_free(struct spool *s);

#endif
