/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The repository: restore points made of documents (small files) and images (large byte arrays: disks, memory), cut into
 * chunks, deduplicated, compressed, encrypted, verified on every read. It knows no VM. Clauses B4, B7.
 *
 * Phases are types: a point being written, a committed point being read and the repository itself are different handles.
 * Results: 0; -errno; and three that callers tell apart: -ENOENT (not there), -EUCLEAN (corrupt: bytes are there but are not
 * what was written; err names chunk and file), -EACCES (wrong or missing key).
 * All handles are thread-safe unless said otherwise.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/log.h"
#include "base/par.h"
#include "store/store_catalogue.h"
#include "store/store_keep.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
#define STORE_ID_LEN 64 /* hex digits of a restore point's id; any unambiguous prefix of >= 6 is accepted where one is named */
#define STORE_NAME_MAX 255

/* Where the key comes from. All NULL: an unencrypted repository. The caller wipes the passphrase. */
struct store_key {
    const char *passphrase;
    const char *key_file;
};

/* For a program's very begin: scrypt, which jumps about in 64 MiB, takes a third of the time in huge pages. Does nothing where OpenSSL
 * was used already, for its allocator can be set only before. */
void store_use_huge_pages(void);

struct store_init {
    bool no_encryption;
    bool make_parents;     /* folders above it are made too */
    struct store_key key;  /* needed unless no_encryption */
    unsigned scrypt_log_n; /* work factor, 0: default; tests use a small one */
    int version;           /* of the format; 0: the newest */
};

/* Makes an empty repository in the folder `location` (made if absent, must be empty: -ENOTEMPTY; -EEXIST already one; -ENOENT the folder
 * above it is not there; -ENOTSUP it is no folder but an address). */
int store_create(const char *location, const struct store_init *init, struct err *err);

struct store_open {
    struct store_key key;
    uint64_t key_memory;   /* most bytes that trying one key object may take, whoever put it there; 0: default (128 MiB) */
    const char *first_key; /* id of the key that opened it the last time, tried first; NULL: not known */
    int zstd_level;        /* 0: default (1); below 0: nothing is compressed */
    unsigned threads;      /* 0: one per core */
    const struct log *log; /* may be NULL; must outlive the store */
};
/* -ENOENT no repository there; -ENOTSUP an address; -EACCES key wrong or missing; -EPROTONOSUPPORT newer format. */
int store_open(const char *location, const struct store_open *options, struct store **ret, struct err *err);
void store_close(struct store *s); /* NULL is fine */
/* GUID of the repository, fixed at its creation; VMs' checkpoints are named after it. */
const char *store_guid(const struct store *s);
const char *store_location(const struct store *s);
/* Version of its format. And from version 2 on: how many times its keys, or the version, were changed, plus one; else 0. */
int store_version(const struct store *s);
uint64_t store_generation(const struct store *s);
bool store_encrypted(const struct store *s);
/* By what a host knows the master key again: derived from it with a key, so that it tells nothing of it. Hex; "" if not encrypted. */
int store_fingerprint(struct store *s, char ret[static STORE_ID_LEN + 1], struct err *err);
/* Whether a master key from before a rotation has that fingerprint. */
bool store_had_fingerprint(struct store *s, const char *fingerprint);

/* ---- Writing one restore point --------------------------------------------------------------------------------------------
 * Nothing of it is visible to readers before store_write_publish(), which makes it visible atomically, and last. */
struct store_writer;
struct store_image_writer;

int store_write_begin(struct store *s, struct store_writer **ret, struct err *err);
/* Adds a document. Names are unique within the point, '/'-separated, <= STORE_NAME_MAX, no "..". At most 64 MiB. */
int store_write_document(struct store_writer *w, const char *name, const void *p, size_t n, struct err *err);

/* Begins an image of `size` bytes. parent_point/parent_image name an image whose content stands wherever nothing is written
 * (an incremental); NULL: holes (zeros) stand there. -ENOENT if the parent is gone. The size may differ from the parent's. */
int store_image_begin(struct store_writer *w, const char *name, uint64_t size, const char *parent_point, const char *parent_image,
                      struct store_image_writer **ret, struct err *err);
/* Any order, any thread, but no two calls may overlap. Best in multiples of store_chunk_size(), aligned to it: then nothing is
 * buffered. The bytes are consumed when the call returns. */
int store_image_write(struct store_image_writer *iw, uint64_t off, const void *p, size_t n, struct err *err);
/* Of the n pieces that lie one behind the other at p, number i becomes the beginning of chunk chunks[i], which is zeros behind that. For
 * what is shared in pieces that are smaller than a chunk: each is stored, found again, and read as it is. */
int store_image_write_pieces(struct store_image_writer *iw, const uint64_t *chunks, const void *p, size_t piece, size_t n, struct err *err);
/* The range reads as zeros, whatever the parent has. Costs nothing. */
int store_image_zero(struct store_image_writer *iw, uint64_t off, uint64_t n, struct err *err);
uint64_t store_chunk_size(const struct store *s);

struct store_stats {
    uint64_t logical;    /* bytes of the image */
    uint64_t written;    /* bytes given to store_image_write() */
    uint64_t zero;       /* bytes found or declared zero */
    uint64_t chunks;     /* chunks looked at */
    uint64_t chunks_new; /* of these, not yet in the repository */
    uint64_t stored;     /* bytes added to the repository for it */
};
/* Ends the image (its map is written). Frees iw, also on failure. */
int store_image_end(struct store_image_writer *iw, struct store_stats *ret_stats, struct err *err);
void store_image_drop(struct store_image_writer *iw); /* gives it up; NULL is fine */

/* For "made_us" in meta: now, or one more than the largest of the points that are there. Points that cannot be read are passed over. */
int64_t store_made_next(struct store *s);
/* The commit, in two steps. prepare makes everything durable, the point too, whose id (hex) is in ret_id then; but no reader sees it.
 * `meta` is the caller's JSON text, kept as it is and shown in listings. Nothing may be added afterwards. publish makes the point
 * visible, in one atomic step that writes nothing, and frees w, also on failure: then the point does not exist. In between,
 * store_write_abort() does away with it. */
int store_write_prepare(struct store_writer *w, const char *meta, char ret_id[static STORE_ID_LEN + 1], struct err *err);
int store_write_publish(struct store_writer *w, struct err *err);
/* Both. Frees w, also on failure. */
int store_write_commit(struct store_writer *w, const char *meta, char ret_id[static STORE_ID_LEN + 1], struct err *err);
void store_write_abort(struct store_writer *w); /* NULL is fine */

/* ---- Reading --------------------------------------------------------------------------------------------------------------*/
struct store_point_info {
    char id[STORE_ID_LEN + 1];
    int64_t time_us; /* of the commit, wall clock, microseconds since 1970 */
    int64_t made_us; /* orders points by when they were made, also where a clock was wrong: "made_us" in meta, else time_us; 0: unknown,
                        since it has no such number and its time lies in the future */
    char *meta;      /* JSON text given at the commit */
    char origin[STORE_ID_LEN + 1]; /* id of the point in another repository that this is a copy of; "" if none */
};
/* All points, in the order in which they were made; first those of which it is unknown. A point that cannot be read is left out,
 * logged, and counted in *ret_bad (may be NULL). */
int store_list(struct store *s, struct store_point_info **ret, size_t *ret_n, size_t *ret_bad, struct err *err);
void store_list_free(struct store_point_info *list, size_t n);

/* Only which points are there, by their names; none is read. In no order; caller frees with free(). */
struct store_id {
    char text[STORE_ID_LEN + 1];
};
int store_point_ids(struct store *s, struct store_id **ret, size_t *ret_n, struct err *err);

struct store_point;
struct store_image;
/* Whether a time lies in the future: a clock was, or is, wrong. */
#define STORE_AHEAD_US (600 * INT64_C(1000000)) /* clocks that are so far apart are taken for right */
bool store_is_ahead(int64_t time_us, int64_t now_us);
/* id: full, prefix, or "latest": the one made last. -ENOENT, -ENOTUNIQ (prefix of several), -EUCLEAN. */
int store_point_open(struct store *s, const char *id, struct store_point **ret, struct err *err);
void store_point_close(struct store_point *p);
const char *store_point_id(const struct store_point *p);
const char *store_point_meta(const struct store_point *p);
int64_t store_point_time(const struct store_point *p);
/* Names of the documents and images, NULL-terminated, owned by the point. */
char *const *store_point_documents(const struct store_point *p);
char *const *store_point_images(const struct store_point *p);
int store_read_document(struct store_point *p, const char *name, struct buf *ret, struct err *err);

int store_image_open(struct store_point *p, const char *name, struct store_image **ret, struct err *err);
void store_image_close(struct store_image *i);
/* Whether every chunk of the image is in a pack that is not lost (store_lost()): 0, or -EUCLEAN. Costs nothing where no pack is lost. */
int store_image_whole(struct store_point *p, const char *name, struct err *err);
uint64_t store_image_size(const struct store_image *i);
/* Reads and verifies n bytes at off; the range must lie within the image. Many calls may run at once. */
int store_image_read(struct store_image *i, uint64_t off, void *p, size_t n, struct err *err);
/* How many bytes of it are no holes, in whole chunks but for the end. Takes as long as the tree has different nodes, whatever it claims. */
int store_image_data(struct store_image *i, uint64_t *ret, struct err *err);
/* *ret_len: how far from off the image is all data or all hole. */
int store_image_extent(struct store_image *i, uint64_t off, uint64_t *ret_len, bool *ret_hole, struct err *err);

/* ---- Keeping --------------------------------------------------------------------------------------------------------------*/
struct store_problem {
    const char *what;  /* "chunk 12ab… is damaged: ..." */
    const char *point; /* id of the point it touches, or NULL */
    const char *name;  /* image or document it touches, or NULL */
    bool warning;      /* no damage: nothing that a restore point needs, and prune tidies it up; not counted */
};
/* Reads back and verifies everything of one point (NULL: of all). fn is called for each finding, from one thread at a time.
 * *ret_problems: how many of them are damage. 0 also where problems were found; -errno only where checking itself could not be done. */
int store_verify(struct store *s, const char *point, void (*fn)(void *priv, const struct store_problem *p), void *priv,
                 const struct par_cancel *cancel, uint64_t *ret_problems, struct err *err);

#endif
