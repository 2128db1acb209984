/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lock, and the words its owner is told by. */
#include "fuzz.h"
#include "store/lock/lock_session.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lock l = { .readable = true };
    char owner[192];

    if (lock_parse(data, size, &l.text, NULL) < 0)
        return 0;
    lock_owner(&l, owner, sizeof owner);
    FUZZ_REQUIRE(strlen(owner) < sizeof owner);
    for (const char *p = owner; *p; p++)
        FUZZ_REQUIRE(*p >= 0x20 && *p <= 0x7e); /* fit for a terminal */
    return 0;
}
