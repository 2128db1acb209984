/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/chunk/chunk.h"
#include <stdint.h>
#include <string.h>

static uint64_t chunk_load(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* Whether 64 bytes are zero; written so that the compiler makes vector code of it. */
static uint64_t any(const uint8_t *p)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 64; i += 8)
        v |= chunk_load(p + i);
    return v;
}

size_t chunk_trim(const void *data, size_t n)
{
    const uint8_t *p = data;

    while (n >= 64 && !any(p + n - 64))
        n -= 64;
    while (n > 0 && !p[n - 1])
        n--;
    return n;
}
