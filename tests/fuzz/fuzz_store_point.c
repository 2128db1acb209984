/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The payload of a restore point: what is accepted is written back as the same bytes, and holds to its bounds. */
#include "fuzz.h"
#include "store/point/point.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct point_data d = { 0 };
    struct buf again = BUF_INIT;

    if (point_parse(data, size, &d) < 0)
        return 0;
    for (size_t i = 0; i < d.n; i++) {
        FUZZ_REQUIRE(point_name_ok(d.streams[i].name));
        FUZZ_REQUIRE(d.streams[i].root.level <= NODE_LEVEL_MAX);
    }
    FUZZ_REQUIRE(point_encode(&d, &again) == 0);
    FUZZ_REQUIRE(again.len == size && memcmp(again.data, data, size) == 0);
    buf_free(&again);
    point_data_free(&d);
    return 0;
}
