/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What images tell of changes (B4), without a QEMU that has them open. */
#include "base/buf.h"
#include "providers/providers_internal.h"
#include <errno.h>
#include <string.h>

bool image_is_old_qcow2(const char *path)
{
    struct hv_image_info info = { 0 };

    if (!path || hv_image_info(NULL, path, "qcow2", true, &info, NULL) < 0)
        return false;
    bool old = info.compat && !strcmp(info.compat, "0.10");
    hv_image_info_clear(&info);
    return old;
}

static const char *unusable(const struct hv_image_info *info, const char *bitmap)
{
    for (size_t i = 0; i < info->n_bitmaps; i++) {
        const struct hv_bitmap *b = &info->bitmaps[i];
        if (strcmp(b->name, bitmap))
            continue;
        if (b->in_use)
            return "is inconsistent: QEMU had the image open and exited without closing it";
        return b->recording ? NULL : "was not recording";
    }
    return "is not in the image";
}

int image_export_since(const char *dir, const char *path, const char *bitmap, struct hv_export **ret, char **ret_why_full, struct err *err)
{
    struct hv_image_info info = { 0 };
    struct err why = ERR_INIT;

    *ret = NULL;
    *ret_why_full = NULL;
    int r = hv_image_info(NULL, path, "qcow2", true, &info, err);
    if (r < 0)
        return r;
    const char *reason = unusable(&info, bitmap);
    if (!reason && hv_export_start_dirty(dir, path, "qcow2", bitmap, ret, &why) < 0)
        reason = why.code == EBUSY ? NULL : "cannot be read";
    hv_image_info_clear(&info);
    if (reason && !(*ret_why_full = str_format("the dirty bitmap %s %s", bitmap, reason)))
        return err_nomem(err);
    return !reason && why.code ? err_move(err, &why) : 0;
}
