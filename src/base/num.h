/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checked arithmetic and little-endian load/store, for all numbers that come from disk, network, guest or XML. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* True and *ret set if the result fits; false and *ret untouched if not. */
static inline bool num_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *ret = r;
    return true;
}

static inline bool num_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *ret = r;
    return true;
}

static inline uint64_t num_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t num_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline bool num_is_pow2(uint64_t a)
{
    return a && !(a & (a - 1));
}

/* The word that goes with n things: "is" or "are", "index" or "indexes". */
static inline const char *num_word(uint64_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

/* What turns a noun into its plural: "1 VM", "2 VMs". */
static inline const char *num_s(uint64_t n)
{
    return num_word(n, "", "s");
}

/* Number of pieces of size `unit` (> 0) that cover n. */
static inline uint64_t num_div_up(uint64_t n, uint64_t unit)
{
    return n / unit + (n % unit != 0);
}

void num_put_le16(uint8_t *p, uint16_t v);
void num_put_le32(uint8_t *p, uint32_t v);
void num_put_le64(uint8_t *p, uint64_t v);
uint16_t num_get_le16(const uint8_t *p);
uint32_t num_get_le32(const uint8_t *p);
uint64_t num_get_le64(const uint8_t *p);

/* Parses a whole decimal number in [min, max]; no sign, no spaces. -EINVAL, -ERANGE. */
int num_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct err *err);

/* Parses "4096", "64K", "10MiB", "1.5G" (binary units, case ignored) to bytes. -EINVAL, -ERANGE. */
int num_parse_size(const char *s, uint64_t *ret, struct err *err);

/* Writes e.g. "1.5 GiB" / "640 B" to buf (>= 16 bytes); returns buf. */
char *num_format_size(uint64_t bytes, char buf[static 16]);

#endif
