/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading one index file. Blocks are opened on demand and kept in memory while the budget lasts. */
#include "store/index/index_table.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

#define TOP_MAX ((uint64_t)64 << 20)

void index_top_free(struct index_top *top)
{
    free(top->fences);
    buf_free(&top->bytes);
}

/* The reaches stand in front of the superseded names, as names that no file has: for a reader that does not know of them they are just
 * that. */
static void take_reach(struct index_top *top)
{
    uint32_t n = 1 + (uint32_t)num_div_up(top->packs, OBJECT_NAME_LEN / 4);

    if (top->superseded < n || memcmp(top->superseded_names, INDEX_REACH_MARK, OBJECT_NAME_LEN) != 0)
        return;
    top->reach = top->superseded_names[1].b;
    top->superseded_names += n;
    top->superseded -= n;
}

int index_top_parse(struct buf *bytes, struct index_top *ret)
{
    struct index_top top = { 0 };
    const uint8_t *p = bytes->data;

    if (bytes->len < 16)
        return -EBADMSG;
    top.entries = num_get_le64(p);
    top.packs = num_get_le32(p + 8);
    top.superseded = num_get_le32(p + 12);
    if (top.entries > INDEX_ENTRIES_MAX || top.packs > INDEX_PACKS_MAX || top.superseded > INDEX_PACKS_MAX)
        return -EBADMSG;
    uint64_t blocks = num_div_up(top.entries, INDEX_PER_BLOCK);
    uint64_t names = ((uint64_t)top.packs + top.superseded) * OBJECT_NAME_LEN;
    if (bytes->len != 16 + names + blocks * 8 + CRYPT_ID_LEN)
        return -EBADMSG;
    top.pack_names = (const struct object_name *)(p + 16);
    top.superseded_names = top.pack_names + top.packs;
    top.fences = calloc(blocks + 1, sizeof *top.fences);
    if (!top.fences)
        return -ENOMEM;
    p += 16 + names;
    for (uint64_t i = 0; i < blocks; i++) {
        top.fences[i] = num_get_le64(p + 8 * i);
        if (i > 0 && top.fences[i] < top.fences[i - 1]) {
            free(top.fences);
            return -EBADMSG;
        }
    }
    memcpy(top.last.b, p + blocks * 8, CRYPT_ID_LEN);
    take_reach(&top);
    top.bytes = *bytes;
    *bytes = (struct buf)BUF_INIT;
    *ret = top;
    return 0;
}

static int table_damaged(struct index_table *t, int r, struct err *err)
{
    char path[OBJECT_PATH_SIZE];

    object_name_path("index", &t->name, path);
    switch (r) {
    case -EBADMSG:
    case -ENODATA: return err_set(err, EUCLEAN, "%s is damaged; run `kvss repair index` to rebuild it from the packs", path);
    case -EKEYREVOKED: return err_set(err, EKEYREVOKED, "%s belongs to a master key that is no longer current", path);
    case -EPROTONOSUPPORT: return err_set(err, EPROTONOSUPPORT, "%s was written by a newer kvss", path);
    case -ENOMEM: return err_nomem(err);
    default: return r;
    }
}

static int index_file_get(struct index_table *t, const char *path, uint64_t off, void *p, size_t n, struct err *err)
{
    if (!t->bytes.len)
        return backend_get(t->env->backend, path, off, p, n, err);
    if (off > t->bytes.len || n > t->bytes.len - off)
        return -ENODATA;
    memcpy(p, t->bytes.data + off, n);
    return 0;
}

static int index_file_size(struct index_table *t, const char *path, uint64_t *ret, struct err *err)
{
    struct backend_stat st = { .size = t->bytes.len };
    int r = t->bytes.len ? 0 : backend_stat(t->env->backend, path, &st, err);

    *ret = st.size;
    return r;
}

/* Reads header, tail and top. */
static int read_top(struct index_table *t, struct err *err)
{
    _cleanup_buf_ struct buf top = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    uint8_t header[CRYPT_HEADER_LEN], tail[OBJECT_TAIL_LEN];
    uint64_t size;
    uint32_t len;
    int r = index_file_size(t, object_name_path("index", &t->name, path), &size, err);

    if (r < 0)
        return r;
    if (size < sizeof header + CRYPT_TAG_LEN + sizeof tail)
        return -EBADMSG;
    r = index_file_get(t, path, 0, header, sizeof header, err);
    if (r == 0)
        r = object_header_check(header, sizeof header, INDEX_MAGIC, t->name.b);
    if (r == 0 && crypt_header_epoch(header) != crypt_epoch(t->env->crypt))
        return -EKEYREVOKED;
    if (r == 0)
        r = index_file_get(t, path, size - sizeof tail, tail, sizeof tail, err);
    if (r == 0)
        r = object_tail_check(tail, size, TOP_MAX, &len);
    if (r == 0)
        r = buf_reserve(&top, len);
    if (r == 0)
        r = index_file_get(t, path, size - sizeof tail - len, top.data, len, err);
    if (r == 0)
        r = crypt_object_init(t->env->crypt, header, &t->key);
    if (r == 0)
        r = crypt_open(t->env->crypt, &t->key, INDEX_TOP_UNIT, top.data, len, top.data);
    if (r < 0)
        return r;
    top.len = len - CRYPT_TAG_LEN;
    r = index_top_parse(&top, &t->top);
    t->blocks = num_div_up(t->top.entries, INDEX_PER_BLOCK);
    return r == 0 && size != CRYPT_HEADER_LEN + t->blocks * INDEX_BLOCK + len + OBJECT_TAIL_LEN ? -EBADMSG : r;
}

int index_table_open(struct env *env, const struct object_name *name, atomic_size_t *budget, struct index_table **ret, struct err *err)
{
    struct index_file file = { .name = *name };

    return index_table_open_file(env, &file, budget, ret, err);
}

int index_table_open_file(struct env *env, struct index_file *file, atomic_size_t *budget, struct index_table **ret, struct err *err)
{
    struct index_table *t = calloc(1, sizeof *t);

    if (!t) {
        buf_free(&file->bytes);
        return err_nomem(err);
    }
    t->bytes = file->bytes;
    file->bytes = (struct buf)BUF_INIT;
    t->env = env;
    t->name = file->name;
    t->refs = 1;
    t->budget = budget;
    int r = read_top(t, err);
    if (r == 0) {
        t->kept = calloc(t->blocks + 1, sizeof *t->kept);
        r = t->kept ? 0 : -ENOMEM;
    }
    if (r < 0) {
        r = table_damaged(t, r, err);
        index_table_unref(t);
        return r;
    }
    *ret = t;
    return 0;
}

void index_table_unref(struct index_table *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    for (uint64_t i = 0; t->kept && i < t->blocks; i++) {
        if (t->kept[i]) {
            free(t->kept[i]);
            atomic_fetch_add(t->budget, INDEX_BLOCK);
        }
    }
    free(t->kept);
    free(t->reach);
    index_top_free(&t->top);
    buf_free(&t->bytes);
    crypt_object_wipe(&t->key);
    free(t);
}

/* Tries to keep an opened block; another thread may have been quicker. */
static void table_keep(struct index_table *t, uint64_t i, const uint8_t *block)
{
    size_t left = atomic_load(t->budget);
    uint8_t *none = NULL;

    do {
        if (left < INDEX_BLOCK)
            return;
    } while (!atomic_compare_exchange_weak(t->budget, &left, left - INDEX_BLOCK));
    uint8_t *copy = malloc(INDEX_BLOCK);
    if (copy)
        memcpy(copy, block, INDEX_BLOCK);
    if (!copy || !atomic_compare_exchange_strong(&t->kept[i], &none, copy)) {
        free(copy);
        atomic_fetch_add(t->budget, INDEX_BLOCK);
    }
}

/* The opened block i: either a kept one or in scratch (INDEX_BLOCK bytes). */
static int block_get(struct index_table *t, uint64_t i, uint8_t *scratch, const uint8_t **ret, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    const uint8_t *kept = atomic_load_explicit(&t->kept[i], memory_order_acquire);

    if (kept) {
        *ret = kept;
        return 0;
    }
    int r = index_file_get(t, object_name_path("index", &t->name, path), CRYPT_HEADER_LEN + i * INDEX_BLOCK, scratch, INDEX_BLOCK, err);
    if (r == 0)
        r = crypt_open(t->env->crypt, &t->key, i, scratch, INDEX_BLOCK, scratch);
    if (r < 0)
        return table_damaged(t, r, err);
    table_keep(t, i, scratch);
    *ret = scratch;
    return 0;
}

static int table_decode(struct index_table *t, const uint8_t *e, struct location *ret, struct err *err)
{
    uint32_t pack = num_get_le32(e + 32), last = num_get_le32(e + 44);

    if (pack >= t->top.packs || last >> 8 == 0 || last >> 8 > CHUNK_SIZE)
        return table_damaged(t, -EBADMSG, err);
    *ret = (struct location){ t->top.pack_names[pack], num_get_le32(e + 36), num_get_le32(e + 40), last >> 8, (uint8_t)last };
    return 0;
}

static uint64_t prefix_of(const struct chunk_id *id)
{
    return __builtin_bswap64(num_get_le64(id->b));
}

/* First block that may hold ids of that prefix: the last one whose fence is below it. */
static uint64_t first_block(const struct index_table *t, uint64_t prefix)
{
    uint64_t lo = 0, hi = t->blocks;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (t->top.fences[mid] < prefix)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? lo - 1 : 0;
}

/* Position of id among n entries, or n. */
static unsigned block_search(const uint8_t *block, unsigned n, const struct chunk_id *id)
{
    unsigned lo = 0, hi = n;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int c = memcmp(block + (size_t)mid * INDEX_ENTRY, id->b, CRYPT_ID_LEN);
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return n;
}

static unsigned block_entries(const struct index_table *t, uint64_t i)
{
    return (unsigned)num_min(INDEX_PER_BLOCK, t->top.entries - i * INDEX_PER_BLOCK);
}

int index_table_find(struct index_table *t, const struct chunk_id *id, struct location *ret, uint64_t *ret_number, struct err *err)
{
    uint64_t prefix = prefix_of(id);
    uint8_t scratch[INDEX_BLOCK];
    const uint8_t *block = NULL;

    if (t->blocks == 0 || prefix < t->top.fences[0] || memcmp(id, &t->top.last, sizeof *id) > 0)
        return 0;
    for (uint64_t i = first_block(t, prefix); i < t->blocks && t->top.fences[i] <= prefix; i++) {
        int r = block_get(t, i, scratch, &block, err);
        if (r < 0)
            return r;
        unsigned n = block_entries(t, i), at = block_search(block, n, id);
        if (at == n)
            continue;
        if (ret_number)
            *ret_number = i * INDEX_PER_BLOCK + at;
        r = ret ? table_decode(t, block + (size_t)at * INDEX_ENTRY, ret, err) : 0;
        return r < 0 ? r : 1;
    }
    return 0;
}

int index_cursor_next(struct index_cursor *c, struct index_entry *ret, struct err *err)
{
    uint64_t i = c->next;

    if (i == c->table->top.entries)
        return 0;
    if (i % INDEX_PER_BLOCK == 0) {
        int r = block_get(c->table, i / INDEX_PER_BLOCK, c->scratch, &c->block, err);
        if (r < 0)
            return r;
    }
    const uint8_t *p = c->block + i % INDEX_PER_BLOCK * INDEX_ENTRY;
    memcpy(ret->id.b, p, CRYPT_ID_LEN);
    c->next++;
    int r = table_decode(c->table, p, &ret->at, err);
    return r < 0 ? r : 1;
}

static void walk_reach(struct index_table *t, uint32_t *reach)
{
    struct index_cursor c = { .table = t };
    struct index_entry e;

    while (index_cursor_next(&c, &e, NULL) > 0) {
        uint32_t pack = num_get_le32(c.block + (c.next - 1) % INDEX_PER_BLOCK * INDEX_ENTRY + 32);
        uint32_t end = e.at.off > UINT32_MAX - e.at.len ? UINT32_MAX : e.at.off + e.at.len;
        reach[pack] = end > reach[pack] ? end : reach[pack];
    }
}

const uint32_t *index_table_reach(struct index_table *t)
{
    if (t->reach)
        return t->reach;
    uint32_t *reach = calloc((size_t)t->top.packs + 1, sizeof *reach);
    if (reach && t->top.reach)
        for (uint32_t i = 0; i < t->top.packs; i++)
            reach[i] = num_get_le32(t->top.reach + 4 * (size_t)i);
    else if (reach)
        walk_reach(t, reach);
    t->reach = reach;
    return reach;
}
