/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object that says what a repository is. */
#include "fuzz.h"
#include "store/config.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;

    if (config_parse(data, size, &c, NULL) < 0)
        return 0;
    FUZZ_REQUIRE(c.signed_len < size && strlen(c.mac) == 2 * CRYPT_ID_LEN);
    FUZZ_REQUIRE(strlen(c.guid.text) == GUID_LEN);
    return 0;
}
