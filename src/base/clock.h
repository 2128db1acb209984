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
/* "2026-11-22 22:13:05 +01:00": local time, for people. Returns buf. */
char *clock_format_local(int64_t wall_us, char buf[static 40]);
/* What people write, and what clock_format_local() and clock_format() do: "2026-11-22", "2026-11-22 21:13", ":05" and a fraction optional,
 * "T" instead of the blank, then perhaps a zone: "+01:00", "+0100", "+01", "Z" or "UTC"; without one it is local time. What is written
 * stands for all of it, so that the result is the last microsecond of that day, minute, second ...: a time cut to whole seconds still
 * finds what was made in that second. -EINVAL. */
int clock_parse_local(const char *s, int64_t *ret_wall_us, struct err *err);
void clock_sleep_ms(unsigned ms);

#endif
