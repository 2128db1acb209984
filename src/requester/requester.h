/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The requester: one call per job of the command, each with a JSON report. The only place that sees all parts of kvss.
 *
 * A job returns 0 and a report (the caller owns it), or -errno with err set; then requester_end() says which kind of end it was.
 * Nothing is printed here: warnings and steps go to the log, progress to the progress object. One job runs at a time.
 */
#ifndef REQUESTER_REQUESTER_H
#define REQUESTER_REQUESTER_H

#include "base/cleanup.h"
#include "base/log.h"
#include "base/par.h"
#include "base/progress.h"
#include "requester/requester_keep.h"
#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRUNE_GRACE_S (24 * 3600)
#define REQUESTER_WRITERS_DIR "/etc/kvss/writers.d"
#define REQUESTER_PROVIDERS_DIR "/etc/kvss/providers.d"

/* How the last job ended. */
enum requester_end {
    REQUESTER_DONE,
    REQUESTER_FAILED,
    REQUESTER_REFUSED,     /* by policy (require, method), before anything was touched */
    REQUESTER_DAMAGED,     /* done, and the report lists damage; or what was to be read is damaged */
    REQUESTER_INTERRUPTED, /* the cancel flag was raised */
    REQUESTER_PARTLY,      /* done, without VMs that failed, as was asked for (skip_failed) */
    REQUESTER_SOME,        /* requester_backup_each(): done for some VMs, failed for others */
};

/* Strings must outlive the requester; NULL where not given. */
struct requester_config {
    const char *repository;    /* folder of the repository */
    const char *uri;           /* libvirt's; NULL: libvirt's default for this user */
    const char *password_file; /* its first line is the passphrase */
    const char *key_file;
    const char *password_command; /* words of a program that prints the passphrase; used where no file is given */
    uint64_t key_memory;          /* most bytes that trying one key of the repository may take; 0: 128 MiB */
    const char *passphrase;       /* used where no file is given */
    /* Asks a person. NULL: nobody can be asked. *ret is malloc'd; confirm: ask twice. Used where nothing above is given. */
    int (*ask)(void *priv, const char *prompt, bool confirm, char **ret, struct err *err);
    void *ask_priv;
    const char *writers_dir;          /* NULL: REQUESTER_WRITERS_DIR */
    const char *providers_dir;        /* programs that are providers; NULL: REQUESTER_PROVIDERS_DIR */
    const char *provider_objects_dir; /* shared objects that are; NULL: the folder of the installation */
    const char *save_dir;             /* where libvirt keeps managed-save images; NULL: found out from the URI */
    const char *snapshot_dir;         /* where snapshot and scratch files of all VMs go; NULL: beside each image */
    unsigned agent_timeout_ms;        /* 0: the writer's default */
    unsigned freeze_limit_ms;         /* how long guests and writers may be held; 0: 60000 */
    uint64_t writer_copy_limit;       /* bytes of other writers' files that are copied at most while they are held; 0: FILES_HOLD_BYTES */
    int compression;                  /* zstd's level for what is written; 0: the default; below 0: none */
    const char *known_dir;    /* where this host remembers repositories; NULL: below /var/lib/kvss, or the user's folder for state */
    const char *host_name;    /* how this host is called where it signs; NULL: by its host name */
    int64_t prune_grace_s;    /* how long prune keeps what is no longer in use; 0: PRUNE_GRACE_S; below 0: not at all */
    bool encryption_required; /* no repository without encryption is made, read or written */
    bool accept_new_repository, accept_rollback; /* what this host remembers otherwise (known.h) is given up */
    bool accept_host_keys;                       /* hosts are believed that sign under the name of another */
    bool keep_copies;                            /* of images that record no changes, from one backup to the next */
    uint64_t scratch_limit;                      /* bytes of scratch files that one VM may take; 0: no limit */
    uint64_t scratch_reserve;                    /* bytes that have to stay free where scratch files lie; 0: the provider's default */
    const struct log *log;
    struct par_cancel *cancel; /* raised from a signal handler; may be NULL */
    struct progress *progress; /* may be NULL */
};

/* For a program's very begin, see store_use_huge_pages(). */
void requester_use_huge_pages(void);

struct requester;
int requester_new(const struct requester_config *config, struct requester **ret, struct err *err);
void requester_free(struct requester *r); /* NULL is fine */
DEFINE_CLEANUP(struct requester *, requester_free)
enum requester_end requester_end(const struct requester *r);
/* After a backup that failed: all that failed in it, [ { "name", "uuid" (null: no VM), "event" of VSS or null, "cause" } ]; borrowed. NULL:
 * not known, or it did not fail. */
const json_t *requester_failures(const struct requester *r);
/* Whether the job has come to where the cancel flag stops it no more: a restore whose VMs are off. r may be NULL. Thread-safe. */
bool requester_carries_on(const struct requester *r);

/* { "repository", "guid", "encrypted": bool, "version": NUMBER } */
struct requester_init {
    bool no_encryption;
    bool make_parents; /* of the repository's folder, where they are missing */
    int version;       /* of the format; 0: the newest */
};
int requester_init(struct requester *r, const struct requester_init *job, json_t **ret, struct err *err);

/* { "writers": [ { "name", "id", "instance_id", "state": NUMBER, "state_name", "error": NUMBER, "error_text",
 *                  "components": [ { "logical_path", "name", "caption" } ] } ] } */
int requester_list_writers(struct requester *r, json_t **ret, struct err *err);
/* { "providers": [ { "name", "id", "version", "type": "system|software|hardware", "file": PATH of a third party's, or null,
 *                    "usable": bool, "why_not": TEXT|null, "free", "total", "place" (room; null where that differs by volume) } ] in the
 *   order in which they are asked, "not_used": [ { "file", "why" } ] } */
int requester_list_providers(struct requester *r, json_t **ret, struct err *err);
/* { "vms": [ { "name", "uuid", "title", "state", "state_detail", "tags": [ TEXT ],
 *              "disks": [ { "target", "path", "format", "size" } ] } ] } */
int requester_list_vms(struct requester *r, json_t **ret, struct err *err);
/* { "points": [ { "id", "time", "host", "type", "instant", "vms": [ as in requester_backup() ] } ], "unreadable": NUMBER,
 *   "missing": [ ID ] (points that this host knows, has not forgotten, and that are not there), "returned": [ ID ] (those that it has
 *   forgotten, and that are there again), "unsigned": [ ID ] (those that no host has signed for), "catalogue": as of
 *   requester_list_hosts(), or null };
 * oldest first. vm (name or UUID): only points that hold it; label: only those whose label is like the pattern (fnmatch(3)); NULL: all. */
int requester_list_points(struct requester *r, const char *vm, const char *label, json_t **ret, struct err *err);
/* Whether this host made the restore point, of VMs that it had, by what it remembers. Refused for another repository than the one known. */
int requester_made_point(struct requester *r, const char *id, bool *ret, struct err *err);
/* The hosts that sign for what they do to the repository: { "version" of its format (below 2 there is nothing to sign),
 *   "hosts": [ { "name", "key", "this_host": bool, "believed": bool, "points": NUMBER, "entries": NUMBER, "last": NUMBER of its newest
 *                entry, "head": id and "time" of that } ],
 *   "cut": [ TEXT ] (what of it is missing), "notes": [ TEXT ] } */
int requester_list_hosts(struct requester *r, json_t **ret, struct err *err);

/* What a backup of the VMs would do, told without touching them. vms NULL: all.
 * { "vms": [ { "name", "uuid", "state", "method", "level", "refused": TEXT|null,
 *              "agent": "ok|no-channel|not-connected|not-responding|no-freeze|failed", or null where the VM does not run,
 *              "conditions": [ { "clause", "name", "ok": bool|null, "why" } ],
 *              "disks": [ { "target", "path", "format", "covered": bool, "why": TEXT|null, "clause": "M11"|null } ],
 *              "file_systems": [ { "mountpoint", "type", "device", "disks": [ TARGET ] } ], "warnings": [ TEXT ],
 *              "demands": [ { "kind", "text", "danger": "code|host|resource|unknown" } ],
 *              "findings": [ { "id", "level": "error|warning|note", "text", "remedy" } ] } ],
 *   "scratch": [ { "dir", "free", "reserve", "disks_hold", "worst" } ] (per file system with scratch files; bytes),
 *   "repository": { "path", "state": "ok|missing|wrong-key|not-opened|unreachable", "free" } or null, "findings" (of all others),
 *   "vms_left_out": [ { "name", "uuid", "why" } ] (as excluded, where all are meant),
 *   "refused": NUMBER of VMs a backup of which would be refused, "errors": NUMBER of findings for which one would fail } */
struct requester_vm_policy { /* what differs for one VM; NULL: as for all */
    const char *vm;          /* name or UUID */
    const char *method, *require, *fallback;
};
struct requester_policy {
    const char *method;   /* "auto", "child", "saved-state", "live-state" or "crash"; NULL: auto */
    const char *require;  /* "application", "file-system", "saved-state"; NULL: nothing in particular */
    const char *fallback; /* where a guest cannot be quiesced: "auto", "saved-state", "file-system", "crash" or "fail"; NULL: auto */
    bool live_state;      /* "auto" takes live-state in the place of Saved State where it can */
    const char *provider; /* by which the disks of the VMs are shadowed; NULL, "auto": for each the first that supports it */
    size_t n_vms;
    const struct requester_vm_policy *vms;
    /* VMs that are left out unless they are named themselves: patterns (fnmatch(3)) of names, or UUIDs; NULL: none. */
    char *const *exclude;
    char *const *exclude_disks; /* disks that are left out: "VM:DISK", both patterns of names, VM also a UUID; NULL: none */
    char *const *tags;          /* VMs with one of these take part, beside those named; NULL: none */
    char *const *states; /* only VMs in one of these ("running", "paused", "off", "saved"), unless they are named themselves; NULL: any */
};
struct requester_check {
    char *const *vms;
    struct requester_policy policy;
    bool try_freeze; /* running guests are frozen for real and thawed at once */
};
int requester_check(struct requester *r, const struct requester_check *job, json_t **ret, struct err *err);

/* One restore point of the VMs (NULL: all) and of the command writers' components, all of one instant; or nothing.
 * { "point", "set", "type", "asked", "host", "kvss", "instant",
 *   "attempts": [ { "why", "hresult": "0x800423f3", "vms": [ NAME: the guest could not be quiesced, the VM got its
 *               fallback in the next attempt ] } ] (those before this one, all of them rolled back),
 *   "vms": [ { "name", "uuid", "state", "method", "why", "clause": "M4", "M1", "B8", "B3" or missing,
 *              "policy": { "method", "require", "fallback" }, "not_quiesced": TEXT|null,
 *              "consistency", "frozen_ms", "down_ms", "instant", "checkpoint",
 *              "asked", "type", "why_type": why that is not what was asked for, "since": the point it stands on or null,
 *              "size", "read", "dirty": bytes that had changed or null, "stored", "disks": COUNT, "not_covered": [ TARGET ],
 *              "whole": [ { "target", "why" } ] (read whole although it has an earlier point), "warnings": [ TEXT ] } ],
 *   "writers": [ { "name", "id", "components": [ { "logical_path", "name", "files": COUNT, "size",
 *                  "level": "application" (its writer held it), or "not-held" (it has nothing to do in Freeze),
 *                  "warnings": [ TEXT ],
 *                  "held": "shared", "copied", "shared and copied" or "snapshot" } ] } ],
 *   "shadow_copies": [ { "volume", "provider": NAME, "device": folder or block device while it lasted, or null } ],
 *   "left_out": [ NAME ] (writers that took no part, as asked for), "vms_left_out": [ { "name", "uuid", "why",
 *   "failed": true (it was left out since it failed: skip_failed) } ] (as of check),
 *   "selection": { "all": bool, "set": NAME|null, "vms", "tags", "states": [ TEXT ] (as asked for) }, "label" (where there is one),
 *   "read", "stored", "elapsed_ms" }                     sizes in bytes */
struct requester_backup {
    char *const *vms;
    struct requester_policy policy;
    const char *type;      /* "auto" (NULL), "full", "incremental", "differential" or "copy" */
    uint64_t bytes_per_s;  /* no more is read from disks, memory and files of writers; 0: no limit */
    uint64_t wait_ms;      /* how long other sessions and jobs that hold a VM are waited for; UINT64_MAX: for ever */
    char *const *writers;  /* of the writers that are programs only these, by name, id or file name; NULL or empty: all */
    bool no_writers;       /* none of them */
    bool no_auto_recovery; /* VSS_VOLSNAP_ATTR_NO_AUTORECOVERY: shadow copies are not changed, so there is no Child VM Snapshot (M9) */
    bool skip_failed;      /* where VMs fail, all is put back, and the set is begun anew without them; REQUESTER_PARTLY */
    unsigned retries;      /* how often it is begun again after a failure that passes by itself */
    const char *label;     /* of the restore point; valid UTF-8, at most REQUESTER_LABEL_MAX bytes; NULL: none */
    const char *set;       /* how the set is called that `vms` and the policy's tags are; for the report. NULL: they are none */
};
#define REQUESTER_LABEL_MAX 200
int requester_backup(struct requester *r, const struct requester_backup *job, json_t **ret, struct err *err);
/* The same VMs, each with a restore point of its own, at_once of them at a time. What fails for one is no failure of the job: the end is
 * REQUESTER_SOME where only some failed; where all did, that of all, or REQUESTER_FAILED where they differ. -errno: nothing was begun.
 * { "at_once", "vms": [ { "name", "uuid", "result": "done|failed|refused|interrupted|not-started", "report": as of requester_backup()
 *   or null, "error": { "text", "errno" } or null } ], "vms_left_out": as there, "done": NUMBER, "failed": NUMBER, "elapsed_ms" } */
int requester_backup_each(struct requester *r, const struct requester_backup *job, unsigned at_once, json_t **ret, struct err *err);

/* Everything recorded of a point: what requester_backup() reported, and
 * { "id", "time", "details": [ per VM what its writer recorded, see writers/vm/vm_writer.h, with "stored_as" added to disks and
 *   parts, and "demands" as of a check ], "documents": [ NAME ], "images": [ { "name", "size" } ] } */
int requester_show(struct requester *r, const char *point, json_t **ret, struct err *err);

/* Brings VMs back (vms NULL: all that the point holds, and the command writers' components).
 * { "point", "instant" of it, "age_s": seconds since (below 0: it is from the future by this host's clock),
 *   "vms": [ { "name", "uuid", "as": new name|null, "as_uuid": of the copy|null, "state", "registered": bool, "memory": bool,
 *                       "steps": [ { "step": "turn off", "delete", "register" ..., "text" } ] (in order), "warnings": [ TEXT ],
 *                       "disks": [ { "target", "path", "format", "size", "flattened": bool } ], "files": [ { "what", "path" } ] } ],
 *   "files": [ { "writer", "component", "files": COUNT, "replaces": COUNT (of a dry run: those that exist),
 *     "path": folder|null, "real": where links lead from there|null (both with files_to),
 *     "alternate": [ folder ] (alternate locations of the writer, if its files go there), "service": that is stopped meanwhile|null } ],
 *   "elapsed_ms" }
 * ("files" of a VM: what else was written, NVRAM, and with images_only definition and memory.) With dry_run nothing is done:
 * { "point", "instant", "age_s", "dry_run": true, "asks": bool (something is powered off, replaced or deleted),
 *   "vms": [ { "name", "uuid", "as", "as_uuid", "part": bool, "here": state of the VM on this host|null,
 *     "turn_off": bool, "delete": bool, "register": bool, "state", "memory": bool,
 *     "write": [ { "what": TARGET or part, "path", "format"|null, "size", "replaces": bool, "device": bool } ],
 *     "consistency", "deletes": [ PATH ], "stays": [ PATH ] (old images that are not replaced), "link": { "path", "to" }|null,
 *     "nics": [ { "mac", "was", "to": TEXT|null, "link": bool } ], "warnings": [ TEXT ],
 *     "demands": [ { "kind", "text", "danger", "here": bool (the VM has it here), "refused": bool } ] (also where it was done) } ],
 *   "refused": [ { "what", "option": with which it is done } ] (then REQUESTER_REFUSED), "files": as above } */
struct requester_restore {
    const char *point; /* id, prefix of one, or "latest"; NULL: the newest that holds the VMs ... */
    const char *at;    /* ... of this time (clock_parse_local()) or before; NULL: of all */
    char *const *vms;  /* names or UUIDs as of the backup */
    /* Where. NULL: where it was. Paths are absolute. */
    const char *to;     /* folder for all images */
    const char *pool;   /* storage pool for all images */
    char *const *disks; /* "TARGET=PATH": the place of one disk. "TARGET": only this disk, into the VM that stays defined */
    bool overwrite;     /* files and block devices that are not the VM's own */
    const char *name;   /* a copy under this name, beside the original */
    bool keep_mac;
    char *const *networks; /* "OLD=NEW": OLD is a network, a bridge or a MAC, NEW a network, a bridge or "none" */
    const char *state;     /* to come back in: "running", "paused", "off"; NULL: as at the backup */
    bool discard_memory;
    bool images_only;     /* files into `to`, no libvirt */
    const char *files_to; /* a folder: the command writers' files below it, and nothing of VMs; no writer takes part. NULL: no */
    /* Of the command writers' files only these: "WRITER" or "WRITER/COMPONENT", by name or id; and no VM but those that are named. NULL or
     * empty: all, or none where VMs are named. */
    char *const *writers;
    bool no_writers; /* none of them */
    bool dry_run;
    bool move;                 /* with a place: replaces the VM that is here, and deletes its old images */
    bool yes;                  /* whatever is powered off, replaced or deleted */
    bool trust_definition;     /* whatever the definition has the host run, or opens of it */
    char *const *allow;        /* places outside of those that a restore may write to by itself: files, and folders with what is below */
    char *const *allow_always; /* the same, of kvss.conf */
    const json_t *agreed;      /* the plan that a person agreed to, of a dry run; NULL: none. Without it, and without `yes`, a restore whose
                           * plan "asks" is REQUESTER_REFUSED */
    uint64_t wait_ms;          /* as of a backup */
};
int requester_restore(struct requester *r, const struct requester_restore *job, json_t **ret, struct err *err);

/* Reads back and verifies a point (NULL: the whole repository). 0 also where damage is found: then REQUESTER_DAMAGED.
 * { "point": ID|null, "count": NUMBER, "problems", "damaged", "whole", "notes": findings.h } */
int requester_verify(struct requester *r, const char *point, json_t **ret, struct err *err);

/* Deletes all checkpoints of kvss's on these VMs, of any repository; the next backup of each reads its disks whole.
 * { "vms": [ { "name", "uuid", "dropped": [ NAME ] } ] } */
int requester_checkpoint_drop(struct requester *r, char *const *vms, json_t **ret, struct err *err);

/* Adds tags to VMs (names, UUIDs or patterns), or removes tags, all of which each VM must have; neither: they are listed.
 * { "vms": [ { "name", "uuid", "tags": [ TEXT ] } ] } */
struct requester_tag {
    char *const *vms, *const *add, *const *remove; /* NULL: none */
};
int requester_tag(struct requester *r, const struct requester_tag *job, json_t **ret, struct err *err);

/* What kvss-guest in these VMs (none: all that are defined) answers. "guest" is as in a VM's record: "version", "hook", "writers",
 * "skipped".
 * { "vms": [ { "name", "uuid", "installed": BOOL, "why": TEXT|null (why not), "guest": {...}|null } ] } */
int requester_guest_status(struct requester *r, char *const *vms, json_t **ret, struct err *err);
/* Unpacks kvss-guest, its hook and its writers in the running Linux guests of these VMs, through their agents, over what is there already.
 * archive: a tar file (at most 64 MiB); NULL: the one that was installed with kvss. REQUESTER_REFUSED where an agent may not, or a VM is
 * in use: nothing was changed in that VM, while those before it in the list have it. The report is that of requester_guest_status(). */
int requester_guest_install(struct requester *r, char *const *vms, const char *archive, json_t **ret, struct err *err);

/* Undoes what sessions that died have left on VMs, guests and files (B2). Fails where something could not be put back.
 * { "sessions": [ { "session", "effects": NUMBER, "left": NUMBER, "why": TEXT|null } ] } */
int requester_recover(struct requester *r, json_t **ret, struct err *err);
/* The whole life of the process that looks after a session from outside; stdin is the pipe to the session's owner. */
int requester_watchdog(struct requester *r, const char *session_id, struct err *err);
/* What a `kvss provider-host` process is for: its life, with its descriptors as session.c hands them over. */
int requester_provider_host(struct err *err);

#endif
