/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VM writer: the Hyper-V VSS writer for libvirt's VMs. A component per VM; Saved State or Child VM Snapshot by the five
 * conditions of M4; all phases of PrepareForSnapshot over all VMs at once with one instant for the set (B1); all or nothing
 * (M10). Clauses M1, M3-M18, M20, M21, B1, B3.
 */
#ifndef WRITERS_VM_VM_WRITER_H
#define WRITERS_VM_VM_WRITER_H

#include "base/log.h"
#include "base/par.h"
#include "hypervisor/hypervisor.h"
#include "journal/journal.h"
#include "writers/vm/vm_record.h"
#include <kvss/error.h>
#include <kvss/writer.h>
#include <stdbool.h>
#include <stddef.h>

#define VM_WRITER_NAME "Microsoft Hyper-V VSS Writer"       /* M20 */
#define VM_WRITER_ID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de" /* M21 */

/* What is wanted of one VM. */
struct vm_policy {
    enum vm_method method;
    enum vm_level require; /* VM_LEVEL_CRASH: nothing in particular. Decided before anything is touched */
    enum vm_fallback fallback;
    bool live_state; /* live-state instead of Saved State where that is possible: an administrator has enabled it */
    /* Why an attempt of this run failed to quiesce the guest: now the fallback is used, which with VM_FALLBACK_FILE_SYSTEM is to have no
     * writer in the guest take part; NULL: none did. */
    const char *not_quiesced;
};

struct vm_writer;
struct vm_writer_config {
    struct hv *hv;
    bool points;              /* for a backup: points in time may be asked for; else only Identify, check and restores */
    struct journal *journal;  /* effects of this session; its verbs include vm_writer_verbs; NULL as above */
    const char *session_dir;  /* existing private folder for parts: definitions, clones of NVRAM and memory */
    const char *snapshot_dir; /* where snapshot files of all VMs are placed; NULL: beside each image (M4c) */
    /* The policy of a VM; any thread; its text lives as long as the writer. NULL: all zero, for all VMs. */
    struct vm_policy (*policy)(void *priv, const char *name, const char *uuid);
    /* By what a disk of a VM is left out, NULL: it is not; otherwise as of `policy`. NULL: none is. */
    const char *(*excluded)(void *priv, const char *name, const char *uuid, const char *target);
    void *policy_priv;               /* of both */
    const char *checkpoint_prefix;   /* named PREFIX-<time>-<VM>; NULL: none are made */
    unsigned agent_timeout_ms;       /* 0: 5000 for questions, 10000 for a freeze */
    unsigned hold_limit_ms;          /* the watchdog thaws guests that are frozen for so long; 0: 60000 */
    char *const *only;               /* names or UUIDs of the VMs to describe in Identify; NULL: all */
    struct keeper *keeper;           /* takes what QEMU still sends should this process die; may be NULL */
    const struct par_cancel *cancel; /* raised: the phases stop at the next step and fail with -EINTR; may be NULL */
    bool *carries_on;                /* set, atomically, when a restore turns its first VM off: then it does not stop; or NULL */
    const struct log *log;
};

int vm_writer_new(const struct vm_writer_config *config, struct vm_writer **ret, struct err *err);
void vm_writer_free(struct vm_writer *w);
extern const struct kvss_writer vm_writer_ops; /* register with priv = struct vm_writer * */
/* Undo of every effect the writer has on VMs, guests and files; ctx is the struct hv *. Ends with { NULL, NULL }. */
extern const struct journal_verb vm_writer_verbs[];
/* The part that is the definition which the VM ran with, or was saved with; "definition" is that for its next start. Not of VMs that are
 * off or transient, and not in points of kvss before 1.1. */
#define VM_PART_LIVE "definition-live"
#define VM_PART_DEFINITION "definition"
#define VM_PART_MEMORY "memory"
#define VM_PART_NVRAM "nvram"
#define VM_WRITER_HELD_VERB "freeze-guest" /* the effect that the watchdog's deadline is about */
/* The failure of a component (kvss_component_set_failure) whose guest could not be quiesced: all has been put back, and the VM could
 * be backed up by Saved State. Its text says why. */
#define VM_WRITER_NOT_QUIESCED VSS_E_HOLD_WRITES_TIMEOUT
/* The same where writers in the guest were the reason: file systems alone could be frozen as well. */
#define VM_WRITER_GUEST_REFUSED VSS_E_WRITERERROR_PARTIAL_FAILURE

/* ---- The report on one VM, made without touching it (kvss check; M4, B3) ----------------------------------------------------*/
struct vm_condition {
    const char *clause; /* "M4a" ... "M4e" */
    const char *name;   /* "integration-service", "running", "snapshot-place", "basic-disks", "file-systems" */
    bool checked;       /* false: could not be looked at, since an earlier condition failed (no agent to ask); JSON "ok": null */
    bool ok;            /* false where not checked */
    char *why;          /* what was found; where !ok also the remedy; never NULL */
};
struct vm_disk_report {
    char *target, *path, *format;
    bool covered;
    char *why;          /* where not covered: "pass-through disk: ...", "CD-ROM ..."; NULL otherwise */
    const char *clause; /* of the mission that this follows from, "M11"; NULL: none, or covered */
    const char
        *excluded_by; /* it would be covered, but was left out as asked for; borrowed, of struct vm_writer_config. NULL: it was not */
};
struct vm_report {
    char *name, *uuid;
    enum hv_state state;
    enum vm_method method;      /* the one that a backup would use now */
    enum vm_level level;        /* what it would be worth */
    struct vm_policy policy;    /* not_quiesced is owned here */
    enum hv_agent_status agent; /* HV_AGENT_FAILED where it was not asked */
    uint64_t save_bytes;        /* Saved State: the most that its saved state will take; 0: not known, or another method */
    char *cluster;              /* Saved State: the resource of the cluster that manages the VM; NULL: none does, or another method */
    char *no_live;              /* why live-state is not used although it was asked for or enabled; NULL: it is, or was not */
    char *refused;              /* why a backup would be refused (method or require cannot be met, VM busy ...); NULL: it would not */
    struct vm_condition conditions[5];
    size_t n_disks;
    struct vm_disk_report *disks;
    char **warnings;
    size_t n_fs;
    struct hv_guest_fs *fs; /* as the agent tells; may be none */
    bool windows;           /* the guest, as the agent tells */
    bool mounts_known;      /* the agent let us read what else is mounted: */
    size_t n_elsewhere;
    struct hv_guest_fs *elsewhere; /* as in struct hv_agent_info */
    bool can_exec;                 /* the agent starts programs in the guest */
    struct vm_record_guest guest;  /* kvss-guest there, and the writers that it lists */
    char *no_application;          /* why no guest writer takes part; NULL: at least one does, or the guest was not asked */
};
/* Whether a backup of the VM, as it was examined, keeps what the guest overwrites on its ith disk in a scratch file: where that lies,
 * hv_scratch_dir() knows. */
bool vm_needs_scratch(const struct vm_report *r, const struct hv_domain *d, size_t i);
/* Whether the saved states of all these VMs fit where libvirt keeps them: 0, or -ENOSPC with the remedy. */
int vm_writer_check_room(const struct vm_writer *w, const uint64_t *save_bytes, size_t n, struct err *err);
/* What PostSnapshot recorded of the VM, once; *ret, which is empty, is the caller's to complete and to clear. -EIO: nothing. */
int vm_writer_take_record(struct vm_writer *w, const char *uuid, struct vm_record *ret, struct err *err);
/* The report on a VM and (ret_dom, may be NULL) the VM as it was read for that: the first call of a session, or its Identify, examines the
 * VM; all others are told the same. Borrowed until vm_writer_free(). Any thread, for one VM one at a time. -ENOENT: there is none. */
int vm_writer_check(struct vm_writer *w, const char *name_or_uuid, const struct vm_report **ret, struct hv_domain **ret_dom,
                    struct err *err);
void vm_report_clear(struct vm_report *r);
/* The record of a VM, as far as it is known before a backup. *ret is cleared first. */
int vm_record_of_report(const struct vm_report *r, struct vm_record *ret, struct err *err);
/* Whether a VM whose images are in `place` gets a link of that path in the default folder (M16): not where that is their folder, or where a
 * folder there that has the VM's name (default_dir/NAME/...) leads to them already. */
bool vm_needs_link(const char *default_dir, const char *link, const char *place);
/* Freezes the guest for real and thaws it at once; needs config.journal. One VM at a time. *ret_ms: how long it was frozen. */
int vm_writer_try_freeze(struct vm_writer *w, const char *name_or_uuid, double *ret_ms, struct err *err);

#define VM_WRITER_WINDOWS "vssadmin" /* the "version" of a Windows guest, which has no kvss-guest: its own VSS was asked */
/* What kvss-guest in a running VM answers about itself and its writers: *ret has the keys of a record's "guest" (docs/guests.md, status),
 * caller's. Its writers are only asked who they are. -ENOENT: it is not installed, or nothing may be started; -ENOTCONN, -ETIMEDOUT: there
 * is no agent, or it does not answer. M2. */
int vm_writer_guest_status(struct hv_domain *d, const struct par_cancel *cancel, json_t **ret, struct err *err);
/* Tells the writers in the VM's guest that the backup is stored, in which `guest` was recorded. Not done where none took part, or while
 * the VM does not run. */
int vm_writer_tell_committed(struct vm_writer *w, const char *uuid, const struct vm_record_guest *guest, struct err *err);
/* Deletes the VM's checkpoints named config.checkpoint_prefix-..., but those in `keep` (may be NULL): old ones must not pile up.
 * Nothing is done while the VM is saved or held by someone else. */
int vm_writer_drop_checkpoints(struct vm_writer *w, const char *uuid, char *const *keep, struct err *err);

/* ---- What requester and writer tell each other through the components document -----------------------------------------------
 * Component: logical path "", name = VM's UUID, caption "Backup Using Child Partition Snapshot\NAME" or "Backup Using Saved
 * State\NAME". In PostSnapshot the writer sets the component's backup metadata to a short JSON object, by which a restore finds the VM:
 *
 *  { "version": VM_RECORD_VERSION, "vm": NAME, "uuid": UUID, "state", "autostart" }
 *
 * In points of kvss before there was a version it was all of the VM's record. The record itself is taken with vm_writer_take_record().
 *
 * Restore: the requester sets the component's restore options to one JSON object before PreRestore:
 *
 *  { "definition": PATH of the staged definition, "live": PATH of the one that it ran with, where the VM would be another one without, or
 *    null, "both": whether the point holds both (a disk that "definition" lacks is not looked for in it by its name),
 *    "memory": PATH of the staged save image or null, "nvram": PATH restored or null,
 *    "state": state to come back in ("running|paused|off|saved"), "disks": { "vda": PATH restored, ... },
 *    "default_dir": folder of M16, "in_place": some disk is overwritten where it lies, and cannot come back if the restore fails,
 *    "formats": { "vda": FORMAT of a restored disk that has another one now },
 *    "nics": { NUMBER of a NIC in the definition, as "0": the network or bridge to plug it into, or null for none }, "nics_live": the
 *    same of the definition that it ran with,
 *    "name", "uuid": of a copy: nothing is turned off, and another VM comes into being; "keep_mac": bool,
 *    "absent": { TARGET: PATH }: disks that the VM comes back without, whose images are not here,
 *    "deletes": [ PATH ]: images of the VM that is replaced, which the requester deletes when the new one stands,
 *    "part": true: only these disks, into the VM that is there and stays defined,
 *    of the VM at the backup: "was": its state, "autostart": bool, "disks_were": { "vda": PATH or null } }
 *
 * and reads after PostRestore, from the component's restore metadata: { "registered": bool, "replaces": bool, "steps": [ { "step":
 * "turn off", "delete", "discard", "register", "link", "disk path", "network", "start" or "save", "text" } ], "warnings": [ TEXT ] }
 * ("registered": it stands; the journal's group of the component's name is committed. "replaces": there was one).
 */

#endif
