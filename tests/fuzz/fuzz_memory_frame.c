/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame of a saved memory, from a repository: it yields as many bytes as it says, of places that it has, or it is refused. */
#include "fuzz.h"
#include "memory/memory.h"
#include <errno.h>

#define SIZE_MAX_TRIED ((uint64_t)16 << 20)

struct yielded {
    uint64_t bytes, places;
};

static int yield_bytes(void *priv, const void *p, size_t n, struct err *err)
{
    const uint8_t *bytes = p;

    (void)err;
    FUZZ_REQUIRE(n > 0);
    (void)*(const volatile uint8_t *)&bytes[n - 1];
    ((struct yielded *)priv)->bytes += n;
    return 0;
}

static int yield_page(void *priv, uint64_t place, struct err *err)
{
    struct yielded *y = priv;

    (void)err;
    FUZZ_REQUIRE(place < y->places);
    y->bytes += MEMORY_PAGE;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yielded y = { 0 };
    const struct memory_out out = { yield_bytes, yield_page, &y };
    uint64_t says;

    if (memory_frame_size(data, size, &says, &y.places, NULL) < 0 || says > SIZE_MAX_TRIED)
        return 0;
    int r = memory_join(data, size, &out, NULL);
    FUZZ_REQUIRE(r == 0 ? y.bytes == says : r == -EUCLEAN && y.bytes <= says);
    return 0;
}
