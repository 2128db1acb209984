/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries of the catalogue as text and as objects, and all of them together. docs/format.md, "Catalogue". */
#ifndef STORE_CATALOGUE_CATALOGUE_H
#define STORE_CATALOGUE_CATALOGUE_H

#include "store/object/object.h"
#include "store/handle/handle.h"
#include "store/store.h"

#define CATALOGUE_MAGIC "KVSSCATA"
#define CATALOGUE_BYTES_MAX LINES_MAX_BYTES
#define CATALOGUE_OPS_MAX 8192u                  /* restore points in one entry */
#define CATALOGUE_SEEN_MAX 256u                  /* heads of other chains in one entry */
#define CATALOGUE_HOSTS_MAX 256u                 /* chains */
#define CATALOGUE_OBJECTS_MAX 32768u             /* entries, and what pretends to be one */
#define CATALOGUE_LOADED_MAX ((size_t)128 << 20) /* bytes of all texts */
#define CATALOGUE_BASE_EVERY 64u
#define CATALOGUE_NUMBER_MAX 1000000u /* how often a point comes and goes */
#define CATALOGUE_SEQ_MAX (INT64_MAX / 2)

/* n odd: the point is to be there, even: it is gone. Where several are told of one point, the largest holds, so it does not matter in
 * which order entries are read, nor whose they are. */
struct catalogue_op {
    struct chunk_id point;
    uint32_t n;
};

struct catalogue_seen {
    uint8_t key[CRYPT_PUBLIC_LEN];
    uint64_t seq;
    struct chunk_id head;
};

struct catalogue_entry {
    struct chunk_id id; /* of the object: not in its text */
    uint8_t key[CRYPT_PUBLIC_LEN];
    char host[STORE_HOST_NAME_MAX + 1];
    uint64_t seq;
    uint64_t since; /* of a base: the entries from this number on say all that the chain says; else 0 */
    int64_t time_us;
    enum store_entry_kind kind;
    bool has_prev;
    struct chunk_id prev;
    struct catalogue_seen *seen;
    size_t n_seen;
    struct catalogue_op *ops;
    size_t n_ops;
    uint8_t signature[CRYPT_SIGNATURE_LEN];
    size_t covered;  /* how much of the text it is of */
    unsigned epoch;  /* of the master key that it is sealed with */
    struct buf text; /* kept until the signature has been checked, or need not be */
    bool checked, deleted;
};
void catalogue_entry_free(struct catalogue_entry *e); /* NULL is fine */

/* ---- catalogue_entry.c: pure ------------------------------------------------------------------------------------------------------*/
/* Bounds are kept, and the text is of this repository; whether the signature is right is not looked at. -EBADMSG, -ENOMEM. The caller
 * frees ret->seen and ret->ops. */
int catalogue_parse(const void *p, size_t n, const char *guid, struct catalogue_entry *ret);
/* The text without the signature. 0 or -ENOMEM. */
int catalogue_format(const struct catalogue_entry *e, const char *guid, struct buf *ret);

/* ---- catalogue_object.c -----------------------------------------------------------------------------------------------------------*/
/* -ENOENT; -EBADMSG: it is no entry of this repository. e->text is set. */
int catalogue_get(struct store *s, const struct chunk_id *id, struct catalogue_entry *ret, struct err *err);
/* Looks at the signature, unless that has been done; frees the text if it is right. 0 or -EBADMSG. */
int catalogue_check(struct catalogue_entry *e);
/* Signs it, seals it and puts it; e->id is set. */
int catalogue_put(struct store *s, const struct store_host_key *key, struct catalogue_entry *e, struct err *err);
int catalogue_list(struct store *s, struct chunk_id **ret, size_t *ret_n, struct err *err);
int catalogue_delete(struct store *s, const struct chunk_id *id, struct err *err);

const uint8_t *host_key_public(const struct store_host_key *k);

/* ---- catalogue_read.c, catalogue_judge.c --------------------------------------------------------------------------------------------*/
/* The entries of one host. */
struct catalogue_chain {
    size_t first, n; /* in entries, by seq */
    uint64_t since;  /* what is older was replaced by a base */
    uint64_t hole;   /* number of the newest entry whose predecessor is missing; 0: none is */
};

struct store_catalogue {
    struct catalogue_entry **entries; /* by key, seq, id */
    struct catalogue_entry **by_id;
    size_t n;
    size_t bytes;          /* of texts that were loaded */
    struct chunk_id *junk; /* objects that are no entries */
    size_t n_junk;
    struct store_head *heads; /* as the caller remembers them */
    size_t n_heads;
    struct catalogue_chain *chains; /* beside hosts */
    struct store_host *hosts;
    size_t n_hosts;
    struct store_cut *cuts;
    size_t n_cuts;
    struct store_signed_point *points;
    size_t n_points;
};
/* Takes e over if it succeeds; to be sorted in afterwards. 0 or -ENOMEM. */
int catalogue_append(struct store_catalogue *c, struct catalogue_entry *e);
/* Sorts the entries, and cuts them into chains. `ignored` of hosts that were there stays; others get the value given. 0, -ENOMEM,
 * -E2BIG. */
int catalogue_sort(struct store_catalogue *c, bool ignore_new);
const struct catalogue_entry *catalogue_find_entry(const struct store_catalogue *c, const struct chunk_id *id); /* NULL: not there */
/* Index of the chain with that key (hex); n_hosts: none. */
size_t catalogue_find_chain(const struct store_catalogue *c, const char *key);

/* What each chain says last of each point. */
struct catalogue_saying {
    struct catalogue_op op;
    size_t chain;
};
/* Sorted by point, then by chain; one for each pair. Of entries from the last base on. Caller frees. 0 or -ENOMEM. */
int catalogue_sayings(const struct store_catalogue *c, struct catalogue_saying **ret, size_t *ret_n);
/* The largest number that anybody has seen an entry of that chain with; 0: none. */
uint64_t catalogue_claimed(const struct store_catalogue *c, const char *key);

#endif
