/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeping a repository: keys, forgetting, pruning, checking, repairing, counting, copying. Included by store.h. */
#ifndef STORE_STORE_KEEP_H
#define STORE_STORE_KEEP_H

#include "base/par.h"
#include "base/progress.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_key;
struct store_problem;

/* ---- Keys: each opens the repository; only rotation touches more than them. -ENOTSUP if it is not encrypted. ----------------*/
struct store_key_info {
    char id[33];
    bool key_file; /* else a passphrase */
    bool current;  /* the one that opened this handle */
    bool removed;  /* it does not count any more, or never did: the storage has put it there (from version 2 on) */
    char created[32], label[128];
};
/* Caller frees with free(). */
int store_key_list(struct store *s, struct store_key_info **ret, size_t *ret_n, struct err *err);
/* Id of the key that opened this handle, for the next time (first_key of struct store_open); "": it is not encrypted. */
const char *store_key_used(const struct store *s);
int store_key_add(struct store *s, const struct store_key *key, unsigned scrypt_log_n, char ret_id[static 33], struct err *err);
/* -EBUSY: it is the only one. -ENOENT. Who has seen the master key before can still use it: that is what store_key_rotate() is for. In a
 * repository of version 1 a key object that is put back opens it again. */
int store_key_remove(struct store *s, const char *id, struct err *err);
/* Makes a new master key that `key` alone opens; all others are removed. What is stored stays readable, and what an older master key could
 * forge from now on is not taken. -ENOTSUP in version 1; -EBUSY while anybody writes. */
int store_key_rotate(struct store *s, const struct store_key *key, unsigned scrypt_log_n, char ret_id[static 33], struct err *err);
/* Makes it a repository of the newest version; 0: it was one already, 1: done. -EBUSY while anybody writes. */
int store_upgrade(struct store *s, struct err *err);

/* ---- Forgetting -----------------------------------------------------------------------------------------------------------*/
/* Protected points: neither forgotten, nor are their chunks pruned. id: full. until_us 0: for good. Replaces an earlier protection. */
int store_protect(struct store *s, const char *id, int64_t until_us, struct err *err);
int store_unprotect(struct store *s, const char *id, struct err *err); /* one that is not protected is no error */
struct store_protection {
    char point[65];
    int64_t since_us, until_us; /* until 0: for good */
    char by[128];               /* "uid 0 on web" */
    bool damaged;               /* it cannot be read: it protects, and tells nothing */
    bool expired;               /* it protects no more; by this host's clock and by the storage's */
};
/* In no order; points need not be there. Caller frees with free(). */
int store_protections(struct store *s, struct store_protection **ret, size_t *ret_n, struct err *err);
/* The one in force, or NULL. */
const struct store_protection *store_protection_find(const struct store_protection *list, size_t n, const char *id);

/* Removes the points (full ids). Their chunks stay until store_prune(). Those not there are no error. -EPERM: one of them is protected, and
 * none was removed. */
int store_forget(struct store *s, const char *const *ids, size_t n, struct err *err);

/* How many points of each kind to keep: the newest of each hour, day ... (local time) that has one. 0: none by that rule. */
struct store_policy {
    unsigned last, hourly, daily, weekly, monthly, yearly;
    int64_t now_us; /* points that lie ahead of it (store_is_ahead()) are kept, and no rule counts them; 0: none does */
};
struct store_policy_item {
    int64_t time_us;
    int64_t made_us;           /* as in store_point_info: which are the last; 0: by time */
    const char *const *groups; /* NULL-terminated: the VMs in the point; the policy holds for each VM by itself */
    bool keep;                 /* result: some group wants it */
    const char *why;           /* result: the rule ("daily") or cause ("from the future"), static; NULL if !keep */
};
/* Pure. Items in any order. A point without groups is kept, and so is one from the future: its clock was wrong, so that no rule
 * can tell its place among the others. 0 or -ENOMEM. */
int store_policy_apply(const struct store_policy *policy, struct store_policy_item *items, size_t n, struct err *err);

/* ---- Pruning --------------------------------------------------------------------------------------------------------------*/
/* Packs that are damaged are written again, as far as all that is needed of them can be read there or in another place. Which are looked
 * for: those whose ends are not as written (one small read each); those whose footers are not; those with any byte that is not. The last
 * two are a repair: other packs are not written again. */
enum store_mend { STORE_MEND_ENDS, STORE_MEND_FOOTERS, STORE_MEND_ALL };
struct store_prune {
    bool dry_run; /* the result is that of the same without it; nothing is written, no lock either */
    enum store_mend mend;
    int64_t grace_us;            /* what has become unused is only deleted when it has been so for that long; 0: at once */
    unsigned max_unused_percent; /* packs with more unused bytes than that are written again; 0: default (20) */
    const struct par_cancel *cancel;
    struct progress *progress;
};
struct store_prune_result {
    uint64_t points, chunks; /* in use */
    uint64_t packs, packs_deleted, packs_repacked;
    uint64_t packs_damaged, packs_mended; /* found, and of these written again */
    uint64_t chunks_lost;                 /* in the packs that were not: needed, and cannot be read anywhere */
    uint64_t bytes_used, bytes_unused;    /* in packs, before */
    uint64_t bytes_freed;                 /* deleted now (net of what was written again) */
    uint64_t bytes_later;                 /* deleted by a later prune, when running backups have ended and the grace is over */
    int64_t later_us;                     /* when it is over for the first of these, by this host's clock; 0: none waits for that */
    char waits_for[192];                  /* whose, if bytes_later; "" otherwise */
};
/* Removes what no point uses. Safe beside running backups, of other hosts too. -EBUSY: another prune or repair runs (named).
 * -EUCLEAN: a point is damaged or a chunk missing: nothing was removed; check tells more. */
int store_prune(struct store *s, const struct store_prune *options, struct store_prune_result *ret, struct err *err);

/* ---- Lost packs: the index names them, and they are not there or end too early ---------------------------------------------*/
struct store_lost {
    uint64_t missing, cut; /* packs: not there or empty; cut short */
    char first[96];        /* the name of one */
    uint64_t again;        /* chunks of lost packs that this handle stored again, since they were met again */
};
/* As it was found when the restore point was begun that is being written; else by listing the packs now. Nothing is counted on that lies in
 * lost packs: it is stored again where it is met, which heals older restore points too. */
int store_lost(struct store *s, struct store_lost *ret, struct err *err);

/* ---- Packs that no index names ---------------------------------------------------------------------------------------------*/
struct store_unindexed {
    uint64_t packs;  /* of a backup that runs or was interrupted, or of an index file that was removed */
    uint64_t points; /* restore points whose trees begin in no pack that an index names: an index file was removed. There may be more */
};
/* Lists packs and points; the points are looked into only where there are such packs. store_repair_index() and store_prune() mend it. */
int store_unindexed(struct store *s, struct store_unindexed *ret, struct err *err);

/* ---- Checking and repairing -----------------------------------------------------------------------------------------------*/
struct store_check {
    unsigned read_data_percent; /* 0: structure only; 100: every byte; between: that share of the packs, chosen by chance */
    const struct par_cancel *cancel;
    struct progress *progress;
};
struct store_check_result {
    uint64_t points, points_damaged, packs, packs_read, chunks, bytes_read;
    uint64_t problems;
    uint64_t unused_packs; /* no index names them: left by an interrupted backup, or one that runs; prune removes them */
};
/* Each finding names the chunk or file and, where it touches one, the point and the image; fn from one thread at a time. Packs that are
 * lost are a warning where all points are whole without them. */
int store_check(struct store *s, const struct store_check *options, void (*fn)(void *priv, const struct store_problem *p), void *priv,
                struct store_check_result *ret, struct err *err);

struct store_repair_result {
    uint64_t packs, chunks; /* in the new index */
    uint64_t packs_damaged; /* of these some chunks could not be read and are left out: the next full backup of a VM that
                                       still has them stores them again, which heals older points too */
    uint64_t chunks_lost;
};
/* Makes the index anew from the packs. read_data: every chunk is read and only good ones are kept. */
int store_repair_index(struct store *s, bool read_data, const struct par_cancel *cancel, struct store_repair_result *ret, struct err *err);

/* ---- Counting -------------------------------------------------------------------------------------------------------------*/
struct store_usage {
    char *group; /* NULL: the total */
    uint64_t points, images;
    uint64_t logical;   /* sum of the sizes of all images and documents of all points */
    uint64_t data;      /* of these, what is not holes */
    uint64_t unique;    /* bytes of the different chunks they use */
    uint64_t stored;    /* what these chunks take in packs, compressed and sealed */
    uint64_t exclusive; /* of stored, what no other group uses; of the total: all of it */
};
/* group: names the group (a VM) of a stream, or NULL for none; called from one thread. The total is first. Free with
 * store_usage_free(). */
int store_usage(struct store *s, const char *(*group)(void *priv, const char *point, const char *meta, const char *stream), void *priv,
                struct store_usage **ret, size_t *ret_n, struct err *err);
void store_usage_free(struct store_usage *u, size_t n);

/* ---- Copying --------------------------------------------------------------------------------------------------------------*/
struct store_copy {
    struct progress *progress; /* may be NULL, as the others */
    const struct par_cancel *cancel;
    /* The copy is durable, under this id, and is made visible when this returns. */
    void (*prepared)(void *priv, const char *id);
    void *priv;
};
/* Copies a point to another repository, where it gets an id of its own but keeps time and meta; only chunks that `to` lacks
 * are read. *ret_id: its id there. 1: it was there already (copied before); 0 copied. Every chunk is verified on the way. It takes as
 * long as the images have different nodes and chunks, whatever they claim. */
int store_copy_point(struct store *from, const char *id, struct store *to, const struct store_copy *options, char ret_id[static 65],
                     struct err *err);

/* ---- Locks ----------------------------------------------------------------------------------------------------------------*/
struct store_lock_info {
    char id[33];
    char owner[192]; /* "backup, host web, pid 17, since 2026-11-22T21:13:05Z" */
    bool stale, maintenance;
};
int store_lock_list(struct store *s, struct store_lock_info **ret, size_t *ret_n, struct err *err);
/* Removes stale locks; `all`: live ones too (only when it is certain that their owners are gone). *ret_n: how many. */
int store_unlock(struct store *s, bool all, size_t *ret_n, struct err *err);
/* Removes one lock, whosever it is: its id, or the begin of it (6 digits or more). -ENOENT, -ENOTUNIQ, -EINVAL. */
int store_unlock_one(struct store *s, const char *id, struct err *err);

#endif
