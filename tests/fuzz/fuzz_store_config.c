/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The object that says what a repository is. */
#include "fuzz.h"
#include "store/object/config.h"
#include "store/object/signed.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;

    if (config_parse(data, size, &c, NULL) < 0)
        return 0;
    const char *mac;
    size_t covered;
    FUZZ_REQUIRE(signed_split(data, size, &covered, &mac) == 0 && covered < size && mac + 2 * CRYPT_ID_LEN < (const char *)data + size);
    FUZZ_REQUIRE(strlen(c.guid.text) == GUID_LEN);
    return 0;
}
