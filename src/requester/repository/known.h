/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host remembers of each repository it has used, so that what the storage, or another host, says of it need not be believed:
 * whether it is encrypted, by which key, which restore points are in it, which of them this host made, and to which of them each
 * checkpoint on a VM belongs. A file per repository, in a folder of this user alone:
 *
 *   GUID       { "known": 1, "encrypted": bool, "key": fingerprint or "", "opened_by": id of a key object, if encrypted,
 *              "generation": of the list of its keys, "points": { ID:
 *              { "state", "made_us", "vms": { UUID: CHECKPOINT } } },
 *              "hosts": { KEY: { "name", "seq", "head", "waived", "doubted": bool } } }
 *   addresses  { "known": 1, "addresses": { PATH: [ GUID ] } }
 *
 * "state" is seen (made by others), prepared (by this host, at "prepared_us"; it may never have been published), ours, forgotten (by this
 * host). "vms" tells what this host backed up, or of points of others what they say; a copy that it made has none.
 * "verified_us" of a point: when this host last read it back.
 * "told" of a point: that it is missing has been reported by a command that writes. A host without the file trusts what it finds.
 *
 * Where the repository has a catalogue (store/store_catalogue.h), "hosts" are those that have signed it, each with its newest entry; what
 * is missing of a chain up to "waived" was accepted; a "doubted" one signs under the name of another. Of points: "absent", it was forgotten
 * and has been seen to be gone; "accepted", what no host has signed for is right; "unsigned_us", when that was first seen. The private key
 * of this host is in the folder above. */
#ifndef REQUESTER_REPOSITORY_KNOWN_H
#define REQUESTER_REPOSITORY_KNOWN_H

#include "requester/repository/repository.h"

#define KNOWN_BYTES_MAX ((size_t)32 << 20)
#define KNOWN_POINTS_MAX 100000

struct known {
    char *dir, *path; /* of the folder; of the file about this repository */
    json_t *doc;      /* the file */
    char *strange;    /* why this is not the repository it was, if so; NULL */
    json_t *missing;  /* [ { "id", "ours": bool, "told": bool } ]: points that were there, are not, and this host has not forgotten */
    json_t *returned; /* [ ID ]: those that this host has forgotten, and that are there again */
    bool rolled_back; /* the newest that this host made is among the missing, or this host's own chain was cut short */
    struct store_catalogue *catalogue; /* NULL: the repository has none, or it cannot be read */
    struct store_host_key *key;        /* of this host; NULL: it has none yet */
    json_t *unsigned_points;           /* [ { "id", "told" } ]: that are there, and no host has signed for */
    json_t *unfinished;                /* [ ID ]: signed to be forgotten, and not removed yet */
    json_t *cut;                       /* [ TEXT ]: what is missing of the catalogue */
    json_t *notes;                     /* [ TEXT ]: what else is to be said of it */
    bool lost;                         /* points are missing that some host has signed for */
};
void known_free(struct known *k); /* NULL is fine */

/* ---- known.c: the files -----------------------------------------------------------------------------------------------------*/
/* Checks the text of a file about a repository. Pure. -EINVAL; *ret: caller's. */
int known_parse(const char *text, size_t n, json_t **ret, struct err *err);
int known_parse_addresses(const char *text, size_t n, json_t **ret, struct err *err);
/* Opens the folder for the repository rq->store, and makes it if need be. *ret_lock is locked until it is closed. */
int known_open(const struct requester *rq, struct known **ret, int *ret_lock, struct err *err);
/* Later: the folder is locked until *ret is closed. */
int known_lock(const struct known *k, int *ret, struct err *err);
/* 1: there is none yet, and *ret is an empty one. */
int known_load(const struct known *k, json_t **ret, struct err *err);
int known_load_addresses(const struct known *k, json_t **ret, struct err *err);
int known_save(const struct known *k, json_t *doc, struct err *err);
int known_save_addresses(const struct known *k, const json_t *doc, struct err *err);
/* The place a repository is known by: an absolute path, links followed. Caller frees; NULL: out of memory. */
char *known_address(const char *location);
/* Id of the key object that opened, the last time, the repository that is to be opened: store_open() tries it first, so that those planted
 * beside it cost nothing. NULL: not known, or out of memory. Caller frees. */
char *known_first_key(const struct requester *rq);

/* ---- known_meet.c -----------------------------------------------------------------------------------------------------------*/
/* What the repository is opened for, hence what must not be wrong with it. */
enum known_use {
    KNOWN_LOOK,     /* to read of it: warnings only */
    KNOWN_CHECK,    /* the same, and whoever asked reports what rq->known says: no warnings */
    KNOWN_TRUST,    /* what it holds is put on this host, or it is mended: it must be the one that is known */
    KNOWN_CHANGE,   /* to write to it, or remove from it: the same, and it must not be rolled back. What is not signed yet is signed */
    KNOWN_REHEARSE, /* to tell what KNOWN_CHANGE would do: the same, but nothing is written to it */
    KNOWN_FOUNDED,  /* this host has just made it */
};
/* requester.c: repository_open() for that use. -EPERM as below. */
int repository_open_for(struct requester *rq, enum known_use use, struct err *err);
/* Compares rq->store with what is remembered, sets rq->known, and remembers what is new. -EPERM: refused, and rq->end says so. What
 * cannot be remembered is a warning. */
int known_meet(struct requester *rq, enum known_use use, struct err *err);

/* In words, added to *ret: what is missing (only of what no command that writes has told yet), and what is there again. Nothing if all is
 * well. 0 or -ENOMEM. */
int known_missing_text(const struct known *k, bool untold_only, struct buf *ret);
int known_returned_text(const struct known *k, struct buf *ret);
int known_unsigned_text(const struct known *k, bool untold_only, struct buf *ret);

/* ---- known_note.c -----------------------------------------------------------------------------------------------------------*/
/* A restore point of this host that is about to be published; `report` is its listing. And: it was. Failures are warnings. */
void known_note_prepared(struct requester *rq, const char *id, const json_t *report);
void known_note_made(struct requester *rq, const char *id);
/* The same of a copy, of which this host only knows what the other repository says. */
void known_note_copy_prepared(struct requester *rq, const char *id);
/* Before they are removed; when they are; and if that failed. */
void known_note_forgotten(struct requester *rq, char *const *ids);
void known_note_removed(struct requester *rq, char *const *ids);
void known_note_kept(struct requester *rq, char *const *ids);
/* Points that are there though a host has signed to forget them, or that none has signed for: that is right. */
void known_note_accepted(struct requester *rq, char *const *ids);

/* This host has changed its keys or its version. */
void known_note_keys(struct requester *rq);

/* This host has read them back, all of what they hold, and found nothing wrong. When it last did: microseconds since 1970, 0: never. */
void known_note_verified(struct requester *rq, char *const *ids);
int64_t known_verified(const struct requester *rq, const char *id);
/* Whether a restore point is the one that this host made with the checkpoint: it is (1), another one is (0), or nobody knows (-1), as
 * without a memory (rq->known NULL). */
int known_owns(const struct requester *rq, const char *point, const char *vm_uuid, const char *checkpoint);
/* Whether this host made the restore point, of VMs that it had, and did not copy it: its id is a hash of all that it holds, so nobody can
 * have changed it since. */
bool known_made(const struct requester *rq, const char *point);
/* No memory at all: everything has to be taken for true. */
bool known_nothing(const struct requester *rq);

/* ---- known_report.c ---------------------------------------------------------------------------------------------------------*/
/* Adds "missing", "returned", "unsigned", lists of ids, and "catalogue", as of requester_list_hosts(), or null where there is none, to a
 * report. */
int known_report(const struct requester *rq, json_t *report, struct err *err);
/* Whether something is missing that was certainly there: of the restore points, or of the catalogue. */
bool known_is_short(const struct requester *rq);
/* Whether all points that some host has signed for, and all entries of the catalogue that anybody has seen, are there. -EPERM, refused. */
int known_refuse_prune(struct requester *rq, struct err *err);

/* ---- known_sign.c -----------------------------------------------------------------------------------------------------------*/
/* Signs for what this host has done to the repository since it signed the last time: points that it made, or accepted, and those that it
 * has forgotten; `gone` (ids, NULL: none) are to be forgotten now. A base says all that it has ever said again. The first host that ever
 * signs takes over all points there are. Does nothing where there is no catalogue. Failures are warnings, and are made up for the next
 * time. 0, or -errno: it has failed. */
int known_sign(struct requester *rq, enum store_entry_kind kind, char *const *gone);
/* Signs for restore points that this host made and that nobody has signed for, since it was killed before it could. */
void known_make_up(struct requester *rq);
/* The repository has a catalogue from now on: this host begins it. Failures are warnings. */
void known_begin(struct requester *rq);
/* Removes points that a host has signed to be forgotten, and that are still there since it was interrupted. One that is protected stays,
 * and this host signs for it. */
int known_finish(struct requester *rq, struct err *err);

/* ---- host_key.c -------------------------------------------------------------------------------------------------------------*/
/* The key of this host, in the folder above k->dir. 1: there is none, and none is to be made (make). */
int host_key_load(const struct known *k, bool make, struct store_host_key **ret, struct err *err);
/* How this host is called in the catalogue: for people. */
void host_name(const struct requester *rq, char ret[static STORE_HOST_NAME_MAX + 1]);

#endif
