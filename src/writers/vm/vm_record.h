/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is recorded of a VM's backup: made by the VM writer in PostSnapshot, completed by the requester with what reading the disks came
 * to, stored once, as vm/UUID/vm.json of the restore point. Nobody else spells its keys: all that is read or shown of it goes through here.
 *
 * One that is read comes from a repository and is untrusted: texts and lists are bounded, and what is of the wrong type is as if it were
 * not there. Any text may be NULL.
 */
#ifndef WRITERS_VM_VM_RECORD_H
#define WRITERS_VM_VM_RECORD_H

#include "base/owner.h"
#include "hypervisor/hypervisor.h"
#include "writers/vm/vm_field.h"
#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VM_RECORD_VERSION 1 /* 0: made by kvss before it wrote a version; of some fields it says nothing */
#define VM_RECORD_DISKS_MAX 4096
#define VM_RECORD_PARTS_MAX 4096

enum vm_method {
    VM_METHOD_AUTO,    /* Child VM Snapshot where all five conditions hold, else Saved State. In a record: it does not say */
    VM_METHOD_CHILD,   /* Child VM Snapshot or refuse */
    VM_METHOD_SAVED,   /* Saved State even where Child VM Snapshot would do */
    VM_METHOD_OFFLINE, /* result only: the VM is off or saved already, its files are copied as they lie */
    VM_METHOD_LIVE,    /* Saved State, but its memory is written while the VM runs (B8). By auto only where policy.live_state */
    VM_METHOD_CRASH,   /* points in time of the disks alone: nothing is frozen, paused or kept of its memory. Only on request */
};
const char *vm_method_name(enum vm_method m); /* "auto", "child-vm-snapshot", "saved-state", "offline", "live-state", "crash" */

/* What a restore point of a VM is worth (B3), weakest first; "offline": nothing was running, any requirement is met. */
enum vm_level { VM_LEVEL_CRASH, VM_LEVEL_SAVED_STATE, VM_LEVEL_FILE_SYSTEM, VM_LEVEL_APPLICATION, VM_LEVEL_OFFLINE };
const char *vm_level_name(enum vm_level l); /* "crash", "saved-state", "file-system", "application", "offline" */

/* Where the guest of a VM cannot be quiesced: a condition of Child VM Snapshot fails while the VM runs, or the freeze itself does. */
enum vm_fallback {
    VM_FALLBACK_AUTO,        /* Saved State where it is known beforehand (M4); at the instant the set fails (M10) */
    VM_FALLBACK_SAVED,       /* Saved State instead, at the set's one instant, in either case */
    VM_FALLBACK_FAIL,        /* no backup: refused where it is known beforehand, else the set fails */
    VM_FALLBACK_CRASH,       /* points in time of the disks alone instead, in either case */
    VM_FALLBACK_FILE_SYSTEM, /* where writers in the guest are the reason, the agent's freeze alone, in either case; else as _FAIL */
};
const char *vm_fallback_name(enum vm_fallback f); /* "auto", "saved-state", "fail", "crash", "file-system" */

struct vm_record_condition {
    char *clause, *name;
    struct vm_opt ok; /* a bool; not known: it was not looked at */
    char *why;
};

struct vm_record_policy {
    bool known; /* false: of kvss before there were policies */
    enum vm_method method;
    enum vm_level require; /* VM_LEVEL_CRASH: nothing in particular */
    enum vm_fallback fallback;
};

struct vm_record_fs {
    char *mountpoint, *type;
    bool frozen;
    char *why; /* why it was not */
};

struct vm_record_image {
    bool known;
    uint64_t cluster_size;
    char *compat;
    bool lazy_refcounts, extended_l2;
    char *preallocation, *compression;
    uint64_t refcount_bits, snapshots; /* snapshots inside the image, which are not backed up */
    struct vm_opt file_size;           /* of a raw file */
};

/* A file that a disk consisted of: the image, whose content changes all the time, and what it is backed by, which must not. */
struct vm_record_file {
    char *path;
    struct vm_opt inode;                 /* not known: no regular file */
    struct vm_opt size, mtime, mtime_ns; /* of a backing file */
};

struct vm_record_disk {
    char *target, *path, *format;
    uint64_t size;
    bool covered;
    char *why;         /* where not covered */
    char *clause;      /* that this follows from, "M11"; NULL: none, or of kvss before it was recorded */
    char *excluded_by; /* it was left out as asked for, by this pattern; NULL: it was not */
    bool readonly, shareable;
    char **backing; /* paths */
    struct vm_record_image image;
    /* The requester's. */
    char *stored_as; /* its image in the restore point; NULL: none */
    char *why_whole; /* why all of it was read, although the backup stands on another one; NULL: it was not, or had to be */
    size_t n_files;  /* 0: of kvss before it recorded them */
    struct vm_record_file *files;
    struct vm_opt image_size;   /* bytes of its image in the restore point */
    struct vm_opt read, stored; /* bytes */
    struct vm_opt dirty;        /* bytes that had changed since the point that it stands on; not known: it stands on none */
    struct owner owner;
};

enum vm_part_kind { VM_PART_UNKNOWN, VM_PART_DOCUMENT, VM_PART_IMAGE, VM_PART_PAGES };

struct vm_record_part {
    char *name;         /* "definition", VM_PART_LIVE, "memory", "nvram", or as a file of the TPM is called */
    char *path;         /* the file to be read in the backup */
    char *restore_path; /* where it belongs */
    char *tpm;          /* of a file of the TPM: its place below the TPM's folder, whatever UUID the VM has */
    /* The requester's. */
    char *stored_as; /* the document, or image, in the restore point; NULL: none */
    char *pages_as;  /* VM_PART_PAGES: the image of its pages; stored_as is their frame (memory/memory.h) */
    enum vm_part_kind kind;
    uint64_t size;              /* of the file */
    struct vm_opt read, stored; /* bytes, as of disks; a document counts as stored only */
    struct owner owner;
};

/* What guest writers did (docs/guests.md). The same keys as in kvss-guest's answers, so that one table reads and writes both. */
struct vm_record_guest_component {
    char *name, *logical_path, *caption;
    char *invariant, *stamp; /* what the writer noted at the instant */
};
struct vm_record_guest_writer {
    char *name, *id;
    char *instance;      /* GUID, which changes when the writer is restarted; of Windows alone, else NULL */
    char *state, *error; /* "VSS_WS_STABLE", in Windows "[1] Stable"; the cause of its failure */
    struct vm_opt held;  /* a bool: it had something to do in Freeze */
    size_t n_components;
    struct vm_record_guest_component *components;
};
struct vm_record_guest_event {
    char *event, *writer;
    struct vm_ms ms; /* since the session began */
};
struct vm_record_guest {
    bool known;              /* false: no kvss-guest was found in the guest, nor vssadmin */
    char *version;           /* of kvss-guest; VM_WRITER_WINDOWS: the guest's own VSS was asked */
    char *backup_type;       /* of the VSS backup in a Windows guest, vss_backup_type_name(); NULL: not known, or no Windows */
    char *session;           /* GUID of its session */
    struct vm_opt hook;      /* bools: the guest agent runs our hook, */
    struct vm_opt by_hook;   /* the writers were held by it, */
    struct vm_opt completed; /* all of them agreed to the end, */
    struct vm_opt broken;    /* the dead-man's switch acted */
    char *failure;           /* the first one; NULL: none */
    struct vm_ms prepare_ms, hold_ms;
    char **skipped; /* texts: programs that cannot be used */
    size_t n_writers;
    struct vm_record_guest_writer *writers;
    size_t n_events;
    struct vm_record_guest_event *events;
};
/* From an answer of kvss-guest. *ret is cleared first, and as if cleared after a failure. -ENOMEM. */
int vm_record_guest_from_json(const json_t *o, struct vm_record_guest *ret, struct err *err);
/* *ret: an object, caller's. -ENOMEM. */
int vm_record_guest_to_json(const struct vm_record_guest *g, json_t **ret, struct err *err);
int vm_record_guest_copy(const struct vm_record_guest *from, struct vm_record_guest *ret, struct err *err);
void vm_record_guest_clear(struct vm_record_guest *g);

struct vm_record {
    unsigned version;
    char *name, *uuid;
    enum hv_state state; /* before the backup; HV_OTHER also: it does not say */
    bool autostart, persistent;
    enum vm_method method;
    char *why;    /* this method */
    char *clause; /* "M4": the conditions decided; "M1": it was asked for; NULL: neither (nothing ran), or of kvss before it was recorded */
    size_t n_conditions;
    struct vm_record_condition *conditions;
    struct vm_record_policy policy;
    char *not_quiesced; /* why the guest, or the writers in it, could not be quiesced, so that the VM fell back; NULL: it did not */
    enum vm_level consistency;
    size_t n_frozen;
    struct vm_record_fs *frozen;
    struct vm_ms frozen_ms; /* freeze reply to thaw reply */
    struct vm_ms down_ms;   /* pause to resume; 0: it ran on, frozen or not. Not known: it did not run */
    struct vm_record_guest guest;
    char *instant; /* "2026-11-22T21:13:05.123Z" */
    size_t n_disks;
    struct vm_record_disk *disks;
    size_t n_parts;
    struct vm_record_part *parts;
    char *checkpoint; /* that it left on the VM; NULL: none */
    char **warnings;
    /* The requester's. */
    char *asked, *type; /* types of backup, vss_backup_type_name() */
    char *why_type;     /* why it is not what was asked for */
    char *since;        /* id of the restore point that it stands on */
    struct vm_opt dirty;
};

void vm_record_clear(struct vm_record *r);
#define _cleanup_vm_record_ _cleanup_(vm_record_clear)

/* NULL: out of memory. */
json_t *vm_record_to_json(const struct vm_record *r);
/* -EUCLEAN: of a newer version, or more disks or parts than any VM has. *ret is cleared first, and as if cleared after a failure. */
int vm_record_from_json(const json_t *o, struct vm_record *ret, struct err *err);

/* The part of that name which the restore point holds; NULL: it does not. */
const struct vm_record_part *vm_record_find_part(const struct vm_record *r, const char *name);
const struct vm_record_disk *vm_record_find_disk(const struct vm_record *r, const char *target); /* NULL: none */

/* vm_record_summary.c: what its disks and parts come to. */
struct vm_record_sums {
    uint64_t disks; /* that are covered */
    uint64_t size;  /* bytes of its images */
    uint64_t read, stored;
};
struct vm_record_sums vm_record_sums(const struct vm_record *r);
/* Its entry in the listing of the restore point, "vms". NULL: out of memory. */
json_t *vm_record_summary(const struct vm_record *r);
/* Whether an entry in a listing has a field that is not as the record has it; of a record of version 0, of those that both have. 1: *ret
 * (caller frees) names it, with what each says. 0: it has none. -ENOMEM. */
int vm_record_summary_differs(const struct vm_record *r, const json_t *entry, char **ret, struct err *err);
/* What is read of an entry in a listing (NULL: none) without reading the record; borrowed from it, NULL where it does not say. */
struct vm_record_listed {
    const char *name, *uuid, *type, *instant, *checkpoint, *method, *consistency, *not_quiesced;
};
struct vm_record_listed vm_record_listed(const json_t *entry);
/* What a check reports of a VM: "name", "uuid", "state", "method", "level", "conditions", "disks", "warnings". NULL: out of memory. */
json_t *vm_record_preview(const struct vm_record *r);

#endif
