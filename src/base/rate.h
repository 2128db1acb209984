/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A limit of bytes per second that several threads share. Thread-safe. */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include "base/cleanup.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stdint.h>

struct rate;
int rate_new(uint64_t bytes_per_s, struct rate **ret, struct err *err); /* bytes_per_s > 0 */
void rate_free(struct rate *r);                                         /* NULL is fine */
/* Takes n bytes. Returns for how many milliseconds the caller must wait before it moves them; 0 where r is NULL. Never more than a
 * tenth of a second's worth can be moved at once after a pause. */
uint64_t rate_take(struct rate *r, uint64_t n);
/* Takes n bytes and waits until they may be moved. False: they may not, stopped(priv) became true meanwhile. */
bool rate_wait(struct rate *r, uint64_t n, bool (*stopped)(void *priv), void *priv);

#endif
