/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vss/vss_pool.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct pool_item {
    struct pool_item *next;
    char text[];
};

const char *pool_copy(struct pool *p, const char *s)
{
    size_t n = strlen(s) + 1;
    struct pool_item *item = malloc(sizeof *item + n);

    if (!item)
        return NULL;
    memcpy(item->text, s, n);
    item->next = p->items;
    p->items = item;
    return item->text;
}

void pool_free(struct pool *p)
{
    while (p->items) {
        struct pool_item *next = p->items->next;
        free(p->items);
        p->items = next;
    }
}

void *array_grow(void *p, size_t n, size_t size)
{
    if (n != 0 && (n & (n - 1)) != 0)
        return p; /* capacities are powers of two: there is room until n reaches one */
    size_t cap = n == 0 ? 1 : n * 2;
    return cap > SIZE_MAX / size ? NULL : realloc(p, cap * size);
}
