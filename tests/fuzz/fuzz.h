/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libFuzzer calls, and replay.c in its place. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input. Returns 0; whatever is wrong ends the process. */
__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property of the code that is fuzzed does not hold. Unlike assert() it is there in every build. */
#define FUZZ_REQUIRE(condition) \
    do {                        \
        if (!(condition))       \
            __builtin_trap();   \
    } while (0)

#endif
