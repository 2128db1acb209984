/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vssadmin and reg print in a guest: any text. What is taken from it is complete, bounded, and the same after it was stored (B3). */
#include "fuzz.h"
#include "writers/vm/windows_writers.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct vm_record_guest g = { 0 }, again = { 0 };

    FUZZ_REQUIRE(text && vm_windows_backup_type(text));
    if (vm_windows_parse(text, &g, NULL) < 0) {
        FUZZ_REQUIRE(!g.known && !g.n_writers);
        return 0;
    }
    FUZZ_REQUIRE(g.known && g.n_writers && vm_record_guest_copy(&g, &again, NULL) >= 0);
    for (size_t i = 0; i < g.n_writers; i++)
        FUZZ_REQUIRE(strlen(g.writers[i].id) == 36 && *g.writers[i].name && g.writers[i].state[0] == '[');
    FUZZ_REQUIRE(again.n_writers == g.n_writers);
    vm_record_guest_clear(&g);
    vm_record_guest_clear(&again);
    return 0;
}
