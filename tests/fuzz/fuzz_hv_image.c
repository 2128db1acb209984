/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What qemu-img prints of an image, and the name of a backing image in it: both are what a guest, or a stranger, has written there. */
#include "fuzz.h"
#include "hypervisor/image/image.h"
#include <stdlib.h>
#include <string.h>

static void look(const struct hv_image_info *info)
{
    FUZZ_REQUIRE(info->format && *info->format && (!info->backing || *info->backing));
    for (size_t i = 0; i < info->n_bitmaps; i++)
        FUZZ_REQUIRE(info->bitmaps[i].name && *info->bitmaps[i].name);
    FUZZ_REQUIRE(info->size <= INT64_MAX && info->cluster_size <= INT64_MAX);
    if (info->backing)
        (void)image_is_remote(info->backing);
}

/* As options of QEMU's tools: whatever the path is, it is one value, and the options that follow it are kvss's. */
static void options(const char *path)
{
    struct image_layer layer = {
        .fd = -1, .data_fd = -1, .path = (char *)(uintptr_t)path, .format = (char *)(uintptr_t) "raw", .format_recorded = true
    };
    const struct image_chain chain = { 1, &layer };
    const char *const begin = "driver=raw,file.filename=";
    _cleanup_free_ char *text = NULL, *name = image_file_name(path);

    if (!name || image_options(&chain, 3, IMAGE_READ_ONLY, &text, NULL) < 0)
        return;
    FUZZ_REQUIRE(strncmp(text, begin, strlen(begin)) == 0);
    const char *s = text + strlen(begin);
    for (const char *p = name; *p; p++, s++) {
        FUZZ_REQUIRE(*s == *p);
        if (*p == ',')
            FUZZ_REQUIRE(*++s == ',');
    }
    FUZZ_REQUIRE(strcmp(s, ",read-only=on") == 0);
    FUZZ_REQUIRE(name[0] == '/' || name[0] == '.'); /* never "protocol:" */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct hv_image_info info = { 0 };
    struct err err = ERR_INIT;

    if (!text)
        return 0;
    if (image_json_parse((const char *)data, size, &info, &err) == 0)
        look(&info);
    else
        FUZZ_REQUIRE(err.text[0] && !info.format);
    hv_image_info_clear(&info);
    (void)image_is_remote(text);
    options(text);
    return 0;
}
