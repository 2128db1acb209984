/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One index file: reading, and making one from sorted entries. */
#ifndef STORE_INDEX_INDEX_TABLE_H
#define STORE_INDEX_INDEX_TABLE_H

#include "store/object/object.h"
#include "store/pack/pack.h"
#include <stdatomic.h>

#define INDEX_MAGIC "KVSSINDX"
#define INDEX_BLOCK 4096
#define INDEX_ENTRY 48
#define INDEX_PER_BLOCK ((INDEX_BLOCK - CRYPT_TAG_LEN) / INDEX_ENTRY)
#define INDEX_ENTRIES_MAX ((uint64_t)1 << 18) /* per file */
#define INDEX_PACKS_MAX ((uint64_t)1 << 20)
#define INDEX_TOP_UNIT (1ULL << 63)

struct index_entry {
    struct chunk_id id;
    struct location at;
};

/* What the top of an index file says. */
struct index_top {
    uint64_t entries;
    uint32_t packs, superseded;
    const struct object_name *pack_names, *superseded_names;
    const uint8_t *reach; /* u32 per pack: how far what the entries name in it reaches; NULL: an older kvss has not said it */
    uint64_t *fences;     /* one per block */
    struct chunk_id last;
    struct buf bytes; /* what the above points into */
};
/* Takes over bytes' contents on success. -EBADMSG. */
int index_top_parse(struct buf *bytes, struct index_top *ret);
void index_top_free(struct index_top *top);

struct index_table {
    struct env *env;
    struct object_name name;
    struct crypt_object key;
    struct index_top top;
    uint64_t blocks;
    atomic_uint refs;
    uint32_t *reach;          /* per pack, once index_table_reach() has found it out */
    atomic_size_t *budget;    /* bytes of blocks that may still be kept in memory */
    _Atomic(uint8_t *) *kept; /* opened blocks, by number */
    struct buf bytes;         /* of a file that is in memory alone; empty: it is in the repository */
};

struct index_file {
    struct object_name name;
    struct buf bytes;
};

/* -EUCLEAN damaged; -ENOENT gone; -EKEYREVOKED of another epoch; -EPROTONOSUPPORT. */
int index_table_open(struct env *env, const struct object_name *name, atomic_size_t *budget, struct index_table **ret, struct err *err);
/* The same of what index_table_make() made; its bytes are taken over (also on failure). Without bytes: it is in the repository. */
int index_table_open_file(struct env *env, struct index_file *file, atomic_size_t *budget, struct index_table **ret, struct err *err);
void index_table_unref(struct index_table *t); /* NULL is fine */
/* 1, 0 or -errno; *ret_number (may be NULL): which entry it is. */
int index_table_find(struct index_table *t, const struct chunk_id *id, struct location *ret, uint64_t *ret_number, struct err *err);

/* How far the entries reach into each pack of the table; borrowed. All entries are read where the file does not tell. One thread at a
 * time. NULL: out of memory. */
const uint32_t *index_table_reach(struct index_table *t);

/* What introduces the reaches among the superseded names. */
#define INDEX_REACH_MARK "kvss pack reach"

/* Walking all entries in order. */
struct index_cursor {
    struct index_table *table;
    uint64_t next;
    const uint8_t *block; /* the one that holds `next`, if next is within one */
    uint8_t scratch[INDEX_BLOCK];
};
/* The next entry: 1, or 0 at the end, or -errno. */
int index_cursor_next(struct index_cursor *c, struct index_entry *ret, struct err *err);

/* Makes one file of the entries (sorted by id, at most INDEX_ENTRIES_MAX), in memory. Caller frees ret->bytes. */
int index_table_make(struct env *env, const struct index_entry *entries, size_t n, const struct object_name *superseded,
                     size_t superseded_n, struct index_file *ret, struct err *err);
/* Makes one and puts it, durably. */
int index_table_write(struct env *env, const struct index_entry *entries, size_t n, const struct object_name *superseded,
                      size_t superseded_n, struct object_name *ret_name, struct err *err);

int index_entry_compare(const void *a, const void *b);

#endif
