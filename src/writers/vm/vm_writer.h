/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VM writer: the Hyper-V VSS writer for libvirt's VMs. A component per VM; Saved State or Child VM Snapshot by the five
 * conditions of M4; all phases of PrepareForSnapshot over all VMs at once with one instant for the set (B1); all or nothing
 * (M10). Clauses M1, M3-M18, M20, M21, B1, B3.
 */
#ifndef WRITERS_VM_WRITER_H
#define WRITERS_VM_WRITER_H

#include "base/log.h"
#include "base/par.h"
#include "hypervisor/hypervisor.h"
#include "journal/journal.h"
#include <kvss/error.h>
#include <kvss/provider.h>
#include <kvss/writer.h>
#include <stdbool.h>
#include <stddef.h>

#define VM_WRITER_NAME "Microsoft Hyper-V VSS Writer"       /* M20 */
#define VM_WRITER_ID "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de" /* M21 */

enum vm_method {
    VM_METHOD_AUTO,    /* Child VM Snapshot where all five conditions hold, else Saved State */
    VM_METHOD_CHILD,   /* Child VM Snapshot or refuse */
    VM_METHOD_SAVED,   /* Saved State even where Child VM Snapshot would do */
    VM_METHOD_OFFLINE, /* result only: the VM is off or saved already, its files are copied as they lie */
};
const char *vm_method_name(enum vm_method m); /* "auto", "child-vm-snapshot", "saved-state", "offline" */

/* What a restore point of a VM is worth (B3), weakest first; "offline": nothing was running, any requirement is met. */
enum vm_level { VM_LEVEL_CRASH, VM_LEVEL_SAVED_STATE, VM_LEVEL_FILE_SYSTEM, VM_LEVEL_APPLICATION, VM_LEVEL_OFFLINE };
const char *vm_level_name(enum vm_level l); /* "crash", "saved-state", "file-system", "application", "offline" */

/* Where the guest of a VM cannot be quiesced: a condition of Child VM Snapshot fails while the VM runs, or the freeze itself does. */
enum vm_fallback {
    VM_FALLBACK_AUTO,  /* Saved State where it is known beforehand (M4); at the instant the set fails (M10) */
    VM_FALLBACK_SAVED, /* Saved State instead, at the set's one instant, in either case */
    VM_FALLBACK_FAIL,  /* no backup: refused where it is known beforehand, else the set fails */
};
const char *vm_fallback_name(enum vm_fallback f); /* "auto", "saved-state", "fail" */

/* What is wanted of one VM. */
struct vm_policy {
    enum vm_method method;
    enum vm_level require;     /* VM_LEVEL_CRASH: nothing in particular. Decided before anything is touched */
    enum vm_fallback fallback;
    const char *not_quiesced;  /* why an attempt of this run failed to quiesce the guest: now Saved State is used; NULL: none did */
};

struct vm_writer;
struct vm_writer_config {
    struct hv *hv;
    const struct kvss_provider *provider; /* takes the points in time; NULL: only Identify, check and restores */
    void *provider_priv;
    struct journal *journal;              /* effects of this session; its verbs include vm_writer_verbs; NULL as above */
    const char *session_dir;              /* existing private folder for parts: definitions, clones of NVRAM and memory */
    const char *snapshot_dir;             /* where snapshot files of all VMs are placed; NULL: beside each image (M4c) */
    /* The policy of a VM; any thread; its text lives as long as the writer. NULL: all zero, for all VMs. */
    struct vm_policy (*policy)(void *priv, const char *name, const char *uuid);
    void *policy_priv;
    const char *checkpoint_prefix;        /* named PREFIX-<time>-<VM>; NULL: none are made */
    unsigned agent_timeout_ms;            /* 0: 5000 for questions, 10000 for a freeze */
    unsigned hold_limit_ms;               /* the watchdog thaws guests that are frozen for so long; 0: 60000 */
    char *const *only;                    /* names or UUIDs of the VMs to describe in Identify; NULL: all */
    const struct par_cancel *cancel;      /* raised: the phases stop at the next step and fail with -EINTR; may be NULL */
    bool *carries_on;                     /* set, atomically, when a restore turns its first VM off: then it does not stop; or NULL */
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
#define VM_WRITER_HELD_VERB "freeze-guest" /* the effect that the watchdog's deadline is about */
/* The failure of a component (kvss_component_set_failure) whose guest could not be quiesced: all has been put back, and the VM could
 * be backed up by Saved State. Its text says why. */
#define VM_WRITER_NOT_QUIESCED VSS_E_HOLD_WRITES_TIMEOUT

/* ---- The report on one VM, made without touching it (kvss check; M4, B3) ----------------------------------------------------*/
struct vm_condition {
    const char *clause;  /* "M4a" ... "M4e" */
    const char *name;    /* "integration-service", "running", "snapshot-place", "basic-disks", "file-systems" */
    bool checked;        /* false: could not be looked at, since an earlier condition failed (no agent to ask); JSON "ok": null */
    bool ok;             /* false where not checked */
    char *why;           /* what was found; where !ok also the remedy; never NULL */
};
struct vm_disk_report {
    char *target, *path, *format;
    bool covered;
    char *why;           /* where not covered: "pass-through disk (M11)", "CD-ROM" ...; NULL otherwise */
};
struct vm_report {
    char *name, *uuid;
    enum hv_state state;
    enum vm_method method;    /* the one that a backup would use now */
    enum vm_level level;      /* what it would be worth */
    struct vm_policy policy;  /* not_quiesced is owned here */
    enum hv_agent_status agent; /* HV_AGENT_FAILED where it was not asked */
    uint64_t save_bytes;      /* Saved State: the most that its saved state will take; 0: not known, or another method */
    char *refused;            /* why a backup would be refused (method or require cannot be met, VM busy ...); NULL: it would not */
    struct vm_condition conditions[5];
    size_t n_disks;
    struct vm_disk_report *disks;
    char **warnings;
    size_t n_fs;
    struct hv_guest_fs *fs;   /* as the agent tells; may be none */
    bool windows;             /* the guest, as the agent tells */
    bool mounts_known;        /* the agent let us read what else is mounted: */
    size_t n_elsewhere;
    struct hv_guest_fs *elsewhere; /* as in struct hv_agent_info */
};
/* Whether the saved states of all these VMs fit where libvirt keeps them: 0, or -ENOSPC with the remedy. */
int vm_writer_check_room(const struct vm_writer *w, const uint64_t *save_bytes, size_t n, struct err *err);
int vm_writer_check(struct vm_writer *w, const char *name_or_uuid, struct vm_report *ret, struct err *err);
void vm_report_clear(struct vm_report *r);
/* Whether a VM whose images are in `place` gets a link of that path in the default folder (M16): not where that is their folder, or where a
 * folder there that has the VM's name (default_dir/NAME/...) leads to them already. */
bool vm_needs_link(const char *default_dir, const char *link, const char *place);
/* Freezes the guest for real and thaws it at once; needs config.journal. One VM at a time. *ret_ms: how long it was frozen. */
int vm_writer_try_freeze(struct vm_writer *w, const char *name_or_uuid, double *ret_ms, struct err *err);

/* Deletes the VM's checkpoints named config.checkpoint_prefix-..., but those in `keep` (may be NULL): old ones must not pile up.
 * Nothing is done while the VM is saved or held by someone else. */
int vm_writer_drop_checkpoints(struct vm_writer *w, const char *uuid, char *const *keep, struct err *err);

/* ---- What requester and writer tell each other through the components document -----------------------------------------------
 * Component: logical path "", name = VM's UUID, caption "Backup Using Child Partition Snapshot\NAME" or "Backup Using Saved
 * State\NAME". In PostSnapshot the writer sets the component's backup metadata to one JSON object:
 *
 *  { "vm": NAME, "uuid": UUID, "state": "running|paused|off|saved", "autostart": bool, "persistent": bool,
 *    "method": vm_method_name, "why": TEXT, "conditions": [ { "clause", "name", "ok", "why" } ],
 *    "policy": { "method", "require" or null, "fallback": vm_fallback_name },
 *    "not_quiesced": why an earlier attempt of the run failed to quiesce the guest, or null,
 *    "consistency": vm_level_name, "frozen": [ { "mountpoint", "type", "frozen": bool, "why" } ],
 *    "frozen_ms": REAL or null, "down_ms": REAL or null,  (freeze reply to thaw reply; pause to resume)
 *    "instant": "2026-11-22T21:13:05.123Z",
 *    "disks": [ { "target", "path", "format", "size", "covered": bool, "why", "readonly", "shareable",
 *                 "backing": [ { "path", "format" } ], "image": { "cluster_size", "compat", "file_size", ... } } ],
 *    "parts": [ { "name": "definition"|"definition-live"|"memory"|"nvram", "path": FILE TO READ NOW,
 *                 "restore_path": WHERE IT BELONGS or null },
 *               { "name": of a file of the TPM, "tpm": its place below the TPM's folder, "path", "restore_path" } ],
 *    "checkpoint": NAME or null, "warnings": [ TEXT ] }
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
 *    "deletes": [ PATH ]: images of the VM that is replaced, which the requester deletes when the new one stands,
 *    "part": true: only these disks, into the VM that is there and stays defined }
 *
 * and reads after PostRestore, from the component's restore metadata: { "registered": bool, "replaces": bool, "steps": [ TEXT ],
 * "warnings": [ TEXT ] } ("registered": it stands; the journal's group of the component's name is committed. "replaces": there was one)
 * (steps: turn off, delete, register, link, disk path, network, start).
 */

#endif
