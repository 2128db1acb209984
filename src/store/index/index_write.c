/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making one index file. */
#include "store/index/index_table.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

int index_entry_compare(const void *a, const void *b)
{
    return memcmp(((const struct index_entry *)a)->id.b, ((const struct index_entry *)b)->id.b, CRYPT_ID_LEN);
}

static int name_compare(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_NAME_LEN);
}

/* The different packs of the entries, sorted. Caller frees. */
static int collect_packs(const struct index_entry *entries, size_t n, struct object_name **ret, size_t *ret_n)
{
    struct object_name *names = calloc(n + 1, sizeof *names);
    size_t used = 0;

    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        names[i] = entries[i].at.pack;
    qsort(names, n, sizeof *names, name_compare);
    for (size_t i = 0; i < n; i++)
        if (used == 0 || name_compare(&names[i], &names[used - 1]) != 0)
            names[used++] = names[i];
    *ret = names;
    *ret_n = used;
    return 0;
}

static void encode(const struct index_entry *e, size_t pack, uint8_t *p)
{
    memcpy(p, e->id.b, CRYPT_ID_LEN);
    num_put_le32(p + 32, (uint32_t)pack);
    num_put_le32(p + 36, e->at.off);
    num_put_le32(p + 40, e->at.len);
    num_put_le32(p + 44, e->at.chunk_len << 8 | e->at.ordinal);
}

struct maker {
    struct env *env;
    const struct index_entry *entries;
    size_t n;
    struct object_name *packs;
    size_t packs_n;
    struct crypt_object key;
    struct buf out;
};

static size_t pack_number(const struct maker *m, const struct object_name *name)
{
    return (size_t)((const struct object_name *)bsearch(name, m->packs, m->packs_n, sizeof *m->packs, name_compare) - m->packs);
}

static int add_sealed(struct maker *m, uint64_t unit, const void *p, size_t n)
{
    if (buf_reserve(&m->out, n + CRYPT_TAG_LEN) < 0)
        return -ENOMEM;
    int r = crypt_seal(m->env->crypt, &m->key, unit, p, n, m->out.data + m->out.len);
    if (r == 0)
        m->out.len += n + CRYPT_TAG_LEN;
    return r;
}

static int add_blocks(struct maker *m)
{
    uint8_t block[INDEX_BLOCK - CRYPT_TAG_LEN];

    for (size_t i = 0; i < m->n; i += INDEX_PER_BLOCK) {
        memset(block, 0, sizeof block);
        for (size_t k = 0; k < INDEX_PER_BLOCK && i + k < m->n; k++)
            encode(&m->entries[i + k], pack_number(m, &m->entries[i + k].at.pack), block + k * INDEX_ENTRY);
        int r = add_sealed(m, i / INDEX_PER_BLOCK, block, sizeof block);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_reach(struct maker *m, struct buf *top)
{
    size_t n = num_div_up(m->packs_n, OBJECT_NAME_LEN / 4) * (OBJECT_NAME_LEN / 4);
    _cleanup_free_ uint32_t *reach = calloc(n + 1, sizeof *reach);

    if (!reach)
        return -ENOMEM;
    for (size_t i = 0; i < m->n; i++) {
        const struct location *at = &m->entries[i].at;
        size_t pack = pack_number(m, &at->pack);
        uint32_t end = at->off > UINT32_MAX - at->len ? UINT32_MAX : at->off + at->len;
        reach[pack] = end > reach[pack] ? end : reach[pack];
    }
    for (size_t i = 0; i < n; i++)
        num_put_le32((uint8_t *)&reach[i], reach[i]);
    int r = buf_add(top, INDEX_REACH_MARK, OBJECT_NAME_LEN);
    return r == 0 ? buf_add(top, reach, n * sizeof *reach) : r;
}

static int add_top(struct maker *m, const struct object_name *superseded, size_t superseded_n)
{
    _cleanup_buf_ struct buf top = BUF_INIT;
    uint8_t head[16], fence[8], tail[OBJECT_TAIL_LEN];
    static const uint8_t none[CRYPT_ID_LEN];

    num_put_le64(head, m->n);
    num_put_le32(head + 8, (uint32_t)m->packs_n);
    num_put_le32(head + 12, (uint32_t)(superseded_n + 1 + num_div_up(m->packs_n, OBJECT_NAME_LEN / 4)));
    int r = buf_add(&top, head, sizeof head);
    if (r == 0)
        r = buf_add(&top, m->packs, m->packs_n * sizeof *m->packs);
    if (r == 0)
        r = add_reach(m, &top);
    if (r == 0)
        r = buf_add(&top, superseded, superseded_n * sizeof *superseded);
    for (size_t i = 0; r == 0 && i < m->n; i += INDEX_PER_BLOCK) {
        num_put_le64(fence, __builtin_bswap64(num_get_le64(m->entries[i].id.b)));
        r = buf_add(&top, fence, sizeof fence);
    }
    if (r == 0)
        r = buf_add(&top, m->n ? m->entries[m->n - 1].id.b : none, CRYPT_ID_LEN);
    if (r == 0)
        r = add_sealed(m, INDEX_TOP_UNIT, top.data, top.len);
    object_tail((uint32_t)(top.len + CRYPT_TAG_LEN), tail);
    return r == 0 ? buf_add(&m->out, tail, sizeof tail) : r;
}

int index_table_make(struct env *env, const struct index_entry *entries, size_t n, const struct object_name *superseded,
                     size_t superseded_n, struct index_file *ret, struct err *err)
{
    struct maker m = { .env = env, .entries = entries, .n = n };
    struct object_name name;
    uint8_t header[CRYPT_HEADER_LEN];
    int r = crypt_random(&name, sizeof name);

    object_header(INDEX_MAGIC, name.b, crypt_epoch(env->crypt), header);
    if (r == 0)
        r = crypt_object_init(env->crypt, header, &m.key);
    if (r == 0)
        r = collect_packs(entries, n, &m.packs, &m.packs_n);
    if (r == 0)
        r = buf_add(&m.out, header, sizeof header);
    if (r == 0)
        r = add_blocks(&m);
    if (r == 0)
        r = add_top(&m, superseded, superseded_n);
    free(m.packs);
    crypt_object_wipe(&m.key);
    if (r < 0) {
        buf_free(&m.out);
        return err_errno(err, -r, "cannot create an index file");
    }
    *ret = (struct index_file){ name, m.out };
    return 0;
}

int index_table_write(struct env *env, const struct index_entry *entries, size_t n, const struct object_name *superseded,
                      size_t superseded_n, struct object_name *ret_name, struct err *err)
{
    char path[OBJECT_PATH_SIZE];
    struct index_file f;
    int r = index_table_make(env, entries, n, superseded, superseded_n, &f, err);

    if (r < 0)
        return r;
    r = backend_put(env->backend, object_name_path("index", &f.name, path), f.bytes.data, f.bytes.len, BACKEND_REPLACE, err);
    if (r == 0 && ret_name)
        *ret_name = f.name;
    buf_free(&f.bytes);
    return r;
}
