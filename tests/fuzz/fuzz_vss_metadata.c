/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer metadata document: what is accepted is saved, loaded and saved again as the same bytes. */
#include "fuzz.h"
#include "vss/metadata.h"
#include <string.h>

static int accept_all(void *priv, const char *path, int (*entry)(void *arg, const char *name, bool is_folder), void *arg, struct err *err)
{
    (void)priv, (void)err;
    /* One level below each folder that is asked for. */
    int r = strlen(path) < 64 ? entry(arg, "sub", true) : 0;
    return r < 0 ? r : entry(arg, "file.img", false);
}

static int found(void *priv, const struct vss_file_set *set, const char *folder, const char *name, struct err *err)
{
    (void)err;
    FUZZ_REQUIRE(set->path && set->filespec && folder && name);
    return ++*(size_t *)priv > 1000 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_metadata_ struct kvss_metadata *md = NULL;
    _cleanup_metadata_ struct kvss_metadata *again = NULL;
    _cleanup_free_ char *text = strndup((const char *)data, size);
    _cleanup_free_ char *first = NULL;
    _cleanup_free_ char *second = NULL;
    struct err err = ERR_INIT;

    if (!text || metadata_parse(text, &md, &err) < 0) {
        FUZZ_REQUIRE(!md && (!text || (err.code && err.hresult && err.text[0])));
        return 0;
    }
    FUZZ_REQUIRE(metadata_check(md, &err) == 0);
    FUZZ_REQUIRE(metadata_format(md, &first, &err) == 0);
    FUZZ_REQUIRE(metadata_parse(first, &again, &err) == 0);
    FUZZ_REQUIRE(metadata_format(again, &second, &err) == 0);
    FUZZ_REQUIRE(strcmp(first, second) == 0);
    struct vss_folder folder = { .list = accept_all };
    size_t n = 0;
    for (size_t i = 0; i < md->info.n_components && i < 16; i++) {
        (void)vss_component_is_required(&md->info, i);
        (void)vss_component_files(&md->info, i, &folder, found, &n, &err);
    }
    return 0;
}
