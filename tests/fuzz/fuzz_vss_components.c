/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backup components document: what is accepted is saved, loaded and saved again as the same bytes; and a restore session
 * that is given it stands it. */
#include "fuzz.h"
#include "vss/components.h"
#include <string.h>

/* Without writers nothing can be selected; but it can be asked for. */
static void restore_from(const char *xml)
{
    struct vss_service *s = NULL;
    struct vss_session *v = NULL;
    struct vss_component_state state;
    const char *path, *name;
    struct err err = ERR_INIT;

    FUZZ_REQUIRE(vss_service_new(NULL, &s, &err) == 0);
    FUZZ_REQUIRE(vss_session_new(s, &v, &err) == 0);
    FUZZ_REQUIRE(vss_initialize_for_restore(v, xml, &err) == 0);
    _cleanup_components_ struct bc_document *doc = NULL;
    FUZZ_REQUIRE(components_parse(xml, &doc, &err) == 0);
    for (size_t i = 0; i < doc->n_writers; i++) {
        const char *id = doc->writers[i]->id;
        for (size_t k = 0; k < vss_stored_component_count(v, id); k++) {
            FUZZ_REQUIRE(vss_stored_component(v, id, k, &path, &name, &err) == 0);
            FUZZ_REQUIRE(vss_get_component_state(v, id, path, name, &state, &err) == 0);
            FUZZ_REQUIRE(vss_set_selected_for_restore(v, id, path, name, true, &err) < 0);
        }
    }
    (void)vss_gather_writer_metadata(v, &err);
    vss_session_release(v);
    vss_service_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_components_ struct bc_document *doc = NULL;
    _cleanup_components_ struct bc_document *again = NULL;
    _cleanup_free_ char *text = strndup((const char *)data, size);
    _cleanup_free_ char *first = NULL;
    _cleanup_free_ char *second = NULL;
    struct err err = ERR_INIT;

    if (!text || components_parse(text, &doc, &err) < 0) {
        FUZZ_REQUIRE(!doc && (!text || (err.code && err.hresult && err.text[0])));
        return 0;
    }
    FUZZ_REQUIRE(components_format(doc, &first, &err) == 0);
    FUZZ_REQUIRE(components_parse(first, &again, &err) == 0);
    FUZZ_REQUIRE(components_format(again, &second, &err) == 0);
    FUZZ_REQUIRE(strcmp(first, second) == 0);
    restore_from(first);
    return 0;
}
