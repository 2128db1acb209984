/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeping a repository: no VM is needed for any of this, and none is touched. Included by requester.h. */
#ifndef REQUESTER_REQUESTER_KEEP_H
#define REQUESTER_REQUESTER_KEEP_H

#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <stdint.h>

struct requester;

/* How it stands with the backups.
 * { "time", "vms": [ { "name", "uuid", "state" (null: it is not on this host), "excluded": PATTERN|null, "point": ID of its newest or null,
 *     "instant", "age_s", "consistency", "method" (of that; null), "points": NUMBER } ] (those of this host first),
 *   "libvirt": why the VMs of this host are not known, or null,
 *   "repository": { "path", "free", "total" (bytes or null), "points", "protected", "unreadable": NUMBERs,
 *     "unverified": [ ID ] (those that this host has never read back) },
 *   "locks": as of requester_unlock(), "sessions": [ { "session", "effects", "why" } ] (that crashed and were not undone),
 *   "missing", "returned", "unsigned", "catalogue": as of requester_list_points(),
 *   "problems": [ { "level": "warning|critical", "text" } ] } */
struct requester_status {
    char *const *vms;       /* names, UUIDs, patterns; NULL or empty: all */
    char *const *exclude;   /* patterns of VMs that need no backup; NULL: none */
    int64_t warn_s, crit_s; /* ages; 0: none is too old. With crit_s, no restore point at all is critical */
};
int requester_status(struct requester *r, const struct requester_status *job, json_t **ret, struct err *err);

/* Removes restore points: those named; or those that the rules do not keep, where any rule is above 0.
 * { "dry_run", "kept": [ POINT ], "removed": [ POINT ], "prune": as requester_prune() or null }
 * POINT: { "id", "time", "instant", "vms": [ NAME ], "why": the rule that keeps it, or null } */
struct requester_forget {
    char *const *points;                                   /* ids, prefixes, "latest"; NULL or empty: by the rules */
    unsigned last, hourly, daily, weekly, monthly, yearly; /* how many to keep of each VM */
    char *const *vms;    /* names or UUIDs: only points all of whose VMs are among these are removed; NULL: any */
    const char *label;   /* only points whose label is like this pattern (fnmatch(3)); NULL: any */
    bool dry_run, prune; /* prune: and then give the space back */
    bool now;            /* of the prune */
};
int requester_forget(struct requester *r, const struct requester_forget *job, json_t **ret, struct err *err);

/* Protects restore points from being removed, or (off) ends that.
 * { "points": [ { "id", "protected": { "since", "until": TIME|null, "by" } or null } ] } */
struct requester_protect {
    char *const *points; /* ids, prefixes, "latest" */
    const char *until;   /* clock_parse_local(); NULL: for good */
    bool off;
};
int requester_protect(struct requester *r, const struct requester_protect *job, json_t **ret, struct err *err);

/* { "dry_run", "points", "chunks", "packs", "packs_deleted", "packs_repacked", "packs_mended", "bytes_used",
 *   "bytes_unused", "bytes_freed", "bytes_later", "waits_for": TEXT|null, "later": time from which some of these can go, if they wait
 *   for that, or null } */
struct requester_prune {
    bool dry_run;
    unsigned max_unused_percent; /* 0: default */
    bool now;                    /* without a period of grace */
    uint64_t wait_ms;            /* how long another prune or repair is waited for; UINT64_MAX: for ever */
};
int requester_prune(struct requester *r, const struct requester_prune *job, json_t **ret, struct err *err);

/* Checks the repository's own structure, and reads back that share of its packs. 0 also where damage is found: REQUESTER_DAMAGED.
 * { "points", "points_damaged", "packs", "packs_read", "unused_packs", "chunks", "bytes_read",
 *   "count", "problems", "damaged", "whole": findings.h, "missing", "returned", "unsigned",
 *   "catalogue": as of requester_list_points(); damage too if the newest point that this host made is among the missing, or one that a
 *   host has signed for, or if something of the catalogue is missing } */
int requester_fsck(struct requester *r, unsigned read_data_percent, json_t **ret, struct err *err);

/* Makes the index anew from the packs. { "packs", "chunks", "packs_damaged", "chunks_lost" } */
int requester_repair_index(struct requester *r, bool read_data, json_t **ret, struct err *err);

/* Writes damaged packs again, as far as what is needed of them can be read anywhere. { "packs", "packs_damaged", "packs_mended",
 * "chunks_lost" } */
int requester_repair_packs(struct requester *r, bool read_data, json_t **ret, struct err *err);

/* { "total": USAGE, "vms": [ USAGE and "name", "uuid" ] }; USAGE: { "points", "images", "logical", "data", "unique", "stored",
 * "exclusive" } in bytes but the first two, see store_keep.h */
int requester_stats(struct requester *r, json_t **ret, struct err *err);

/* Copies restore points to another repository, oldest first.
 * { "to", "points": [ { "id", "copy": its id there, "copied": bool, false: it was there } ] } */
struct requester_copy {
    char *const *points;                  /* ids, prefixes, "latest"; NULL: all */
    const char *to;                       /* folder */
    const char *password_file, *key_file; /* of `to`; both NULL: as this repository's */
    bool no_encryption;                   /* `to` is not encrypted */
};
int requester_copy(struct requester *r, const struct requester_copy *job, json_t **ret, struct err *err);

/* { "keys": [ { "id", "kind": "passphrase|key file", "created", "current": bool } ] } */
int requester_key_list(struct requester *r, json_t **ret, struct err *err);
/* The new key is a file, the passphrase in a file, or asked for. { "added": ID } */
struct requester_new_key {
    const char *password_file, *key_file;
    bool remove_others; /* of a rotation: keys other than the one that is used are removed too; else it is refused if there are any */
};
int requester_key_add(struct requester *r, const struct requester_new_key *key, json_t **ret, struct err *err);
/* { "removed": ID }; id: or the begin of one */
int requester_key_remove(struct requester *r, const char *id, json_t **ret, struct err *err);
/* Adds a key, then removes the one that this repository was opened with. { "added": ID, "removed": ID } */
int requester_key_change(struct requester *r, const struct requester_new_key *key, json_t **ret, struct err *err);
/* A new master key, opened by the new key alone. { "rotated": true, "added": ID, "removed_keys": [ ID ] }. M17 */
int requester_key_rotate(struct requester *r, const struct requester_new_key *key, json_t **ret, struct err *err);
/* Makes the repository one of the newest version.
 * { "repository", "version": NUMBER, "upgraded": bool, "keys": [ ID ] (those that open it) } */
int requester_upgrade(struct requester *r, json_t **ret, struct err *err);

/* Removes locks whose owners are gone; all: every lock; ids (NULL: none): just these, whosever they are.
 * { "removed": NUMBER, "locks": [ { "id", "owner", "stale", "maintenance" } ] (those that are left) } */
int requester_unlock(struct requester *r, bool all, char *const *ids, json_t **ret, struct err *err);

#endif
