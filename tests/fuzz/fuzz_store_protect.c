/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A protection: what is taken from it is within bounds. */
#include "fuzz.h"
#include "store/keep/protect.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct protect_text t;

    if (protect_parse(data, size, &t, NULL) < 0)
        return 0;
    FUZZ_REQUIRE(size <= PROTECT_BYTES_MAX && t.since_us > 0 && t.until_us >= 0);
    FUZZ_REQUIRE(memchr(t.by, '\0', sizeof t.by));
    return 0;
}
