/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* base/xml.h: whatever is accepted can be searched and written, and what was written is accepted again and stays the same. */
#include "base/xml.h"
#include "fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    _cleanup_xml_ xmlDocPtr doc = NULL;
    _cleanup_xml_ xmlDocPtr again = NULL;
    _cleanup_free_ char *first = NULL;
    _cleanup_free_ char *second = NULL;
    _cleanup_free_ xmlNodePtr *all = NULL;

    if (xml_parse((const char *)data, size, "input", &doc, &err) < 0) {
        FUZZ_REQUIRE(!doc && err.code && err.text[0]);
        return 0;
    }
    FUZZ_REQUIRE(!doc->intSubset && !doc->extSubset);
    xmlNodePtr root = xmlDocGetRootElement(doc);
    free(xml_get(root, ".//@*"));
    free(xml_attr(root, "name"));
    FUZZ_REQUIRE(xml_find_all(root, ".//*", &all) >= 0);
    FUZZ_REQUIRE(xml_dump(doc, NULL, false, &first, &err) == 0);
    if (xml_parse(first, strlen(first), "output", &again, &err) < 0)
        return 0; /* longer than it was: escapes may carry it past the limit */
    FUZZ_REQUIRE(xml_dump(again, NULL, false, &second, &err) == 0);
    FUZZ_REQUIRE(strcmp(first, second) == 0);
    return 0;
}
