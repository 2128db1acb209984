/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times: monotonic milliseconds for measuring and deadlines, wall-clock text for records. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <kvss/error.h>
#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
/* Microseconds since 1970 UTC. */
int64_t clock_wall_us(void);
/* "2026-11-22T21:13:05.123Z" */
char *clock_format(int64_t wall_us, char buf[static 32]);
/* The reverse; fraction optional; only "Z". -EINVAL. */
int clock_parse(const char *s, int64_t *ret_wall_us, struct err *err);
/* What people write: "2026-11-22", meaning the end of that day; "2026-11-22 21:13", ":05" and a fraction optional, "T" instead of the
 * blank. Local time, unless it ends in "Z". -EINVAL. */
int clock_parse_local(const char *s, int64_t *ret_wall_us, struct err *err);
void clock_sleep_ms(unsigned ms);

#endif
