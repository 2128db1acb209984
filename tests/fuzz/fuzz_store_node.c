/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tree node, of the level that its first byte says: what is accepted is written back as the same bytes. */
#include "fuzz.h"
#include "store/tree/node.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[NODE_BYTES_MAX];
    struct node n;

    if (size == 0 || node_parse(data, size, data[0], &n) < 0)
        return 0;
    FUZZ_REQUIRE(!node_empty(&n));
    FUZZ_REQUIRE(node_encode(&n, again) == size && memcmp(again, data, size) == 0);
    FUZZ_REQUIRE(node_parse(data, size, data[0] + 1u, &n) < 0);
    return 0;
}
