/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A segment's head: the chunks it tells of fill it exactly. */
#include "fuzz.h"
#include "store/object/env.h"
#include "store/pack/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_view v;
    uint64_t sum = 0;

    if (segment_parse(data, size, &v) < 0)
        return 0;
    FUZZ_REQUIRE(v.n > 0 && v.n <= SEGMENT_CHUNKS && v.raw <= SEGMENT_RAW_MAX);
    for (unsigned i = 0; i < v.n; i++) {
        FUZZ_REQUIRE(v.len[i] > 0 && v.len[i] <= CHUNK_SIZE);
        sum += v.len[i];
    }
    FUZZ_REQUIRE(sum == v.raw);
    FUZZ_REQUIRE(v.payload + v.payload_len == data + size);
    return 0;
}
