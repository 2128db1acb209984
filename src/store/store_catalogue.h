/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The catalogue: each host signs its own chain of entries about the restore points that came and went, so that what the storage hides, puts
 * back or makes up is seen. docs/format.md, "Catalogue". Only from version 2 of the format on. Included by store.h. Clause B4. */
#ifndef STORE_STORE_CATALOGUE_H
#define STORE_STORE_CATALOGUE_H

#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* ---- The key of a host ----------------------------------------------------------------------------------------------------------*/
#define STORE_HOST_SECRET_LEN 64 /* hex digits of a private key */
#define STORE_HOST_KEY_LEN 64    /* hex digits of a public key */
#define STORE_HOST_NAME_MAX 64

/* A new private key; the caller keeps it where only this user can read it, and wipes it. */
int store_host_secret(char ret[static STORE_HOST_SECRET_LEN + 1], struct err *err);
struct store_host_key;
/* The secret is copied, into memory that is never swapped out if that can be had. -EINVAL: it is none. */
int store_host_key_new(const char *secret, struct store_host_key **ret, struct err *err);
void store_host_key_free(struct store_host_key *k); /* NULL is fine */
/* The public key, hex. */
const char *store_host_key_id(const struct store_host_key *k);

/* ---- Reading ----------------------------------------------------------------------------------------------------------------------*/
/* What a host remembers of a chain: its newest entry, which was checked. */
struct store_head {
    char key[STORE_HOST_KEY_LEN + 1], id[65];
    uint64_t seq;
    uint64_t waived; /* what is missing of the chain up to this number has been accepted; 0: nothing */
};

struct store_catalogue;
/* Reads all chains, each from its last base on. Signatures of what the remembered heads (n of them) lead to are not checked again: each
 * entry names the one before by its hash. Nothing is merged before store_catalogue_judge(). */
int store_catalogue_read(struct store *s, const struct store_head *heads, size_t n, struct store_catalogue **ret, struct err *err);
void store_catalogue_free(struct store_catalogue *c); /* NULL is fine */

struct store_host {
    char key[STORE_HOST_KEY_LEN + 1], name[STORE_HOST_NAME_MAX + 1]; /* the name is what its newest entry says: for people only */
    char head[65];                                                   /* id of its newest entry */
    uint64_t seq;
    int64_t time_us; /* of the newest entry, by that host's clock */
    size_t entries;  /* from its last base on */
    size_t points;   /* of its own that are not gone (after judging) */
    bool broken;     /* an entry in the middle is missing */
    bool forked;     /* two entries claim one place: two hosts sign with the same key */
    bool outdated;   /* all of it is sealed with a master key from before a rotation, and nobody has seen it since */
    bool ignored;    /* it is outdated, or the caller does not believe it */
};
/* The caller may set `ignored` of more of them before it has them judged. Owned by c. */
struct store_host *store_catalogue_hosts(struct store_catalogue *c, size_t *ret_n);
/* Merges what the chains say that are not ignored, and looks what of them is missing. */
int store_catalogue_judge(struct store_catalogue *c, struct err *err);

/* A chain that ends too early, or lacks an entry that somebody has seen. Owned by c. */
struct store_cut {
    char key[STORE_HOST_KEY_LEN + 1];
    char name[STORE_HOST_NAME_MAX + 1]; /* of the host whose chain it is; "": nothing of it is there */
    char by[STORE_HOST_NAME_MAX + 1];   /* of the host that saw it; "": this one */
    uint64_t seq;                       /* of the newest entry that is missing */
    uint64_t have;                      /* of the newest that is there; 0: none */
};
const struct store_cut *store_catalogue_cuts(const struct store_catalogue *c, size_t *ret_n);
/* Objects that are no entries, or not by who they say. */
size_t store_catalogue_unreadable(const struct store_catalogue *c);

/* A restore point that some host has signed for. */
struct store_signed_point {
    char id[65];
    unsigned n;       /* odd: it is to be there; even: it was forgotten */
    const char *host; /* name of who said so last */
};
/* All of them, sorted by id; owned by c, until it is changed. */
const struct store_signed_point *store_catalogue_points(const struct store_catalogue *c, size_t *ret_n);
const struct store_signed_point *store_catalogue_find(const struct store_catalogue *c, const char *id); /* NULL: nobody has */
static inline bool store_point_stands(const struct store_signed_point *p)
{
    return p && p->n % 2 == 1;
}
static inline bool store_point_is_gone(const struct store_signed_point *p)
{
    return p && p->n % 2 == 0;
}

/* When the object of the restore point was put, by the clock of the storage; 0: that cannot be told. */
int64_t store_point_put_us(struct store *s, const char *id);

/* Reads what was added meanwhile, and judges again; chains that were not there before are ignored. 1: there was something. */
int store_catalogue_refresh(struct store *s, struct store_catalogue *c, struct err *err);

/* ---- Writing ----------------------------------------------------------------------------------------------------------------------*/
enum store_entry_kind { STORE_ENTRY_COMMIT = 1, STORE_ENTRY_FORGET, STORE_ENTRY_ACCEPT, STORE_ENTRY_BASE };

struct store_catalogue_add {
    const struct store_host_key *key;
    const char *host; /* name, for people */
    enum store_entry_kind kind;
    char *const *points, *const *gone; /* ids, NULL-terminated: that are there; that are forgotten; NULL: none */
    struct store_head last;            /* this host's newest entry, as it remembers it; seq 0: none */
    bool anew;                         /* all that its chain says is said again, as a base */
};
/* Adds to this host's chain what is not said yet, in an entry, or more if it is much; durable on return. Nobody else may add to this chain
 * meanwhile: the caller refreshes before, under a lock. Every 64 entries a base follows, and what that replaces is deleted. *ret_head: the
 * newest entry of the chain. */
int store_catalogue_add(struct store *s, struct store_catalogue *c, const struct store_catalogue_add *add, struct store_head *ret_head,
                        struct err *err);
/* Deletes entries that a later base replaces, of whichever chain; `unreadable`: those that cannot be read too. Failures are left for the
 * next time. */
void store_catalogue_tidy(struct store *s, struct store_catalogue *c, bool unreadable);

#endif
