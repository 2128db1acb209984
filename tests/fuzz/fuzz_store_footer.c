/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pack's footer: every segment it tells of lies within the pack; its chunks within the bytes given. */
#include "fuzz.h"
#include "store/object/env.h"
#include "store/pack/segment.h"

#define END 1000000

struct seen {
    const uint8_t *data, *end;
    uint64_t chunks;
};

static int segment(void *priv, const struct footer_segment *s)
{
    struct seen *seen = priv;

    FUZZ_REQUIRE(s->n > 0 && s->n <= SEGMENT_CHUNKS && (uint64_t)s->off + s->len <= END);
    FUZZ_REQUIRE(s->chunks >= seen->data && footer_chunk(s, s->n) <= seen->end);
    seen->chunks += s->n;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = { data, data + size, 0 };

    if (footer_parse(data, size, END, segment, &seen) == 0)
        FUZZ_REQUIRE(seen.chunks * FOOTER_CHUNK_LEN <= size);
    return 0;
}
