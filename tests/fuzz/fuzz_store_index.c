/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The top of an index file. */
#include "fuzz.h"
#include "base/num.h"
#include "store/index/index_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf bytes = BUF_INIT;
    struct index_top top;

    if (buf_add(&bytes, data, size) == 0 && index_top_parse(&bytes, &top) == 0) {
        uint64_t blocks = num_div_up(top.entries, INDEX_PER_BLOCK);
        FUZZ_REQUIRE(top.entries <= INDEX_ENTRIES_MAX);
        FUZZ_REQUIRE((const uint8_t *)(top.superseded_names + top.superseded) <= top.bytes.data + top.bytes.len);
        for (uint64_t i = 1; i < blocks; i++)
            FUZZ_REQUIRE(top.fences[i - 1] <= top.fences[i]);
        index_top_free(&top);
    }
    buf_free(&bytes);
    return 0;
}
