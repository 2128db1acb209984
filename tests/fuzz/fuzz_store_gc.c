/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A record of packs that no index names. */
#include "fuzz.h"
#include "store/garbage/garbage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct garbage_record g;

    if (garbage_parse(data, size, &g, NULL) < 0)
        return 0;
    for (size_t i = 0; i < g.packs.n; i++)
        FUZZ_REQUIRE(names_has(&g.packs, &g.packs.list[i]));
    garbage_record_free(&g);
    return 0;
}
