/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compression: the only part of the store that knows zstd. Thread-safe. */
#ifndef STORE_OBJECT_ZIP_H
#define STORE_OBJECT_ZIP_H

#include <kvss/error.h>
#include <stddef.h>
#include <stdint.h>

struct zip;

int zip_new(int level, struct zip **ret, struct err *err);
void zip_free(struct zip *z);

/* Room that n bytes may need when compressed. */
size_t zip_bound(size_t n);
/* Compresses n bytes into out (cap bytes, best zip_bound(n)).
 * Returns the size; 0 if it does not get at least 1/32 smaller: store it as it is. */
size_t zip_pack(struct zip *z, const void *p, size_t n, uint8_t *out, size_t cap);
/* Expands to exactly raw bytes. -EBADMSG: not such a frame. */
int zip_unpack(struct zip *z, const void *p, size_t n, uint8_t *out, size_t raw);

#endif
