/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A key object: the work it asks for is bounded before any is done. */
#include "fuzz.h"
#include "store/object/key.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_text k;

    if (key_parse(data, size, &k, NULL) < 0)
        return 0;
    FUZZ_REQUIRE(k.kdf.log_n >= KEY_LOG_N_MIN && k.kdf.log_n <= KEY_LOG_N_MAX && k.kdf.r <= 16 && k.kdf.p <= 4);
    FUZZ_REQUIRE(strlen(k.aad) < size && memcmp(k.aad, data, strlen(k.aad)) == 0);
    key_text_free(&k);
    return 0;
}
