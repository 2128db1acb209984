/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host remembers of repositories: files of its own, but files. */
#include "fuzz.h"
#include "requester/repository/known.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *doc = NULL, *addresses = NULL;
    struct requester rq = { 0 };
    struct known k = { 0 };

    if (known_parse((const char *)data, size, &doc, NULL) == 0) {
        k.doc = doc;
        rq.known = &k;
        (void)known_owns(&rq, "x", "uuid", "kvss-x");
    }
    if (known_parse_addresses((const char *)data, size, &addresses, NULL) == 0)
        FUZZ_REQUIRE(json_is_object(json_object_get(addresses, "addresses")));
    return 0;
}
