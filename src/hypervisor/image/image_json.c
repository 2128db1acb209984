/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/image/image.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

static char *copy_string(json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s && s[0] ? strdup(s) : NULL;
}

static uint64_t get_size(json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));

    return n > 0 ? (uint64_t)n : 0;
}

static bool has_flag(json_t *bitmap, const char *flag)
{
    json_t *e;
    size_t i;

    json_array_foreach (json_object_get(bitmap, "flags"), i, e)
        if (json_is_string(e) && strcmp(json_string_value(e), flag) == 0)
            return true;
    return false;
}

static int copy_bitmaps(json_t *list, struct hv_image_info *info)
{
    size_t n = json_array_size(list);

    if (n == 0)
        return 0;
    info->bitmaps = calloc(n, sizeof *info->bitmaps);
    if (!info->bitmaps)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        json_t *from = json_array_get(list, i);
        char *name = copy_string(from, "name");
        if (name) /* without a name it is of no use to anyone */
            info->bitmaps[info->n_bitmaps++] = (struct hv_bitmap){ name, has_flag(from, "in-use"), has_flag(from, "auto") };
    }
    return 0;
}

int image_json_parse(const char *text, size_t n, struct hv_image_info *ret, struct err *err)
{
    json_error_t why;
    json_auto_t *root = json_loadb(text, n, 0, &why);
    json_t *data = json_object_get(json_object_get(root, "format-specific"), "data");
    json_t *size = json_object_get(root, "virtual-size");

    if (!json_is_object(root) || !json_is_integer(size) || json_integer_value(size) < 0 || !json_is_string(json_object_get(root, "format")))
        return err_set(err, EBADMSG, "qemu-img's description of the image is invalid%s%s", root ? "" : ": ", root ? "" : why.text);
    struct hv_image_info info = {
        .format = copy_string(root, "format"),
        .size = get_size(root, "virtual-size"),
        .cluster_size = get_size(root, "cluster-size"),
        .backing = copy_string(root, "backing-filename"),
        .backing_format = copy_string(root, "backing-filename-format"),
        .data_file = copy_string(data, "data-file"),
        .compat = copy_string(data, "compat"),
        .compression = copy_string(data, "compression-type"),
        .refcount_bits = (unsigned)get_size(data, "refcount-bits"),
        .lazy_refcounts = json_is_true(json_object_get(data, "lazy-refcounts")),
        .extended_l2 = json_is_true(json_object_get(data, "extended-l2")),
        .encrypted = json_is_true(json_object_get(root, "encrypted")),
        .n_snapshots = json_array_size(json_object_get(root, "snapshots")),
    };
    if (copy_bitmaps(json_object_get(data, "bitmaps"), &info) < 0 || !info.format) {
        hv_image_info_clear(&info);
        return err_nomem(err);
    }
    *ret = info;
    return 0;
}
