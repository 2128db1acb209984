/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/index/fresh.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

void fresh_free(struct fresh *f)
{
    free(f->entries);
    free(f->slots);
    *f = (struct fresh){ 0 };
}

/* Ids are hashes: any bytes of them will do. */
static size_t fresh_slot_of(const struct fresh *f, const struct chunk_id *id)
{
    return (size_t)num_get_le64(id->b + 8) & (f->slots_n - 1);
}

struct index_entry *fresh_find(struct fresh *f, const struct chunk_id *id)
{
    if (f->slots_n == 0)
        return NULL;
    for (size_t i = fresh_slot_of(f, id); f->slots[i]; i = (i + 1) & (f->slots_n - 1)) {
        struct index_entry *e = &f->entries[f->slots[i] - 1];
        if (memcmp(&e->id, id, sizeof *id) == 0)
            return e;
    }
    return NULL;
}

static void fresh_place(struct fresh *f, size_t number)
{
    size_t i = fresh_slot_of(f, &f->entries[number].id);

    while (f->slots[i])
        i = (i + 1) & (f->slots_n - 1);
    f->slots[i] = (uint32_t)number + 1;
}

static int fresh_grow(struct fresh *f)
{
    size_t cap = f->cap ? f->cap * 2 : 1024;
    struct index_entry *entries = reallocarray(f->entries, cap, sizeof *entries);

    if (!entries)
        return -ENOMEM;
    f->entries = entries;
    uint32_t *slots = calloc(cap * 2, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    free(f->slots);
    f->slots = slots;
    f->slots_n = cap * 2;
    f->cap = cap;
    for (size_t i = 0; i < f->count; i++)
        fresh_place(f, i);
    return 0;
}

int fresh_add(struct fresh *f, const struct chunk_id *id)
{
    if (fresh_find(f, id))
        return 0;
    if (f->count == f->cap) {
        int r = f->cap > UINT32_MAX / 4 ? -ENOMEM : fresh_grow(f);
        if (r < 0)
            return r;
    }
    f->entries[f->count] = (struct index_entry){ .id = *id };
    fresh_place(f, f->count++);
    return 1;
}

void fresh_drop(struct fresh *f, const struct index_entry *list, size_t n)
{
    size_t kept = 0;

    f->durable = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (bsearch(&f->entries[i], list, n, sizeof *list, index_entry_compare))
            continue;
        f->durable += f->entries[i].at.chunk_len != 0;
        f->entries[kept++] = f->entries[i];
    }
    f->count = kept;
    if (f->slots_n)
        memset(f->slots, 0, f->slots_n * sizeof *f->slots);
    for (size_t i = 0; i < kept; i++)
        fresh_place(f, i);
}
