/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks: what of them is stored. docs/format.md, "Chunks and ids". */
#ifndef STORE_CHUNK_CHUNK_H
#define STORE_CHUNK_CHUNK_H

#include <stddef.h>

/* Length without trailing zeros; 0: all zeros. Costs next to nothing unless there are many. */
size_t chunk_trim(const void *p, size_t n);

#endif
