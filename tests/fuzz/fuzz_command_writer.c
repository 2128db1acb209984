/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a writer program prints in identify: what is accepted makes a document that can be saved and loaded. */
#include "fuzz.h"
#include "vss/metadata.h"
#include "writers/command_internal.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *answer = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    _cleanup_metadata_ struct kvss_metadata *md = NULL;
    _cleanup_metadata_ struct kvss_metadata *again = NULL;
    _cleanup_free_ char *xml = NULL;
    struct command_writer w = { 0 };
    struct err err = ERR_INIT;

    if (!json_is_object(answer) || command_parse_identity(answer, &w, &err) < 0)
        return 0;
    if (metadata_new(w.name, w.id, "00000000-0000-4000-8000-000000000000", w.usage, w.source, &md, &err) == 0 &&
        command_parse_metadata(answer, md, &err) == 0) {
        FUZZ_REQUIRE(metadata_check(md, &err) == 0);
        FUZZ_REQUIRE(metadata_format(md, &xml, &err) == 0);
        FUZZ_REQUIRE(metadata_parse(xml, &again, &err) == 0);
    }
    free(w.name);
    free(w.id);
    return 0;
}
