/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/point/stored_point.h"
#include "base/guid.h"
#include "memory/memory.h"
#include "requester/context/context.h"
#include "writers/vm/vm_writer.h"
#include <errno.h>
#include <string.h>

char *point_wmd_name(size_t i)
{
    return str_format(POINT_WMD_PREFIX "%04zu.xml", i);
}

char *point_vm_name(const char *uuid, const char *rest)
{
    return str_format(POINT_VM_PREFIX "%s/%s", uuid, rest);
}

char *point_files_name(size_t i, const char *rest)
{
    return str_format(POINT_FILES_PREFIX "%04zu/%s", i, rest);
}

json_t *point_vms(const json_t *meta)
{
    return json_object_get(meta, "vms");
}

int point_meta(const char *meta, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *j = NULL;

    int r = json_parse_object(meta, strlen(meta), "the summary of the restore point", &j, err);
    if (r < 0)
        return r;
    if (!json_is_array(point_vms(j)))
        return err_set(err, EINVAL, "the summary of the restore point lists no VMs: it was not created by kvss backup");
    *ret = TAKE_PTR(j);
    return 0;
}

int point_read_json(struct store_point *p, const char *name, json_t **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    int r = store_read_document(p, name, &b, err);
    return r < 0 ? r : json_parse_object(b.data ? (const char *)b.data : "", b.len, name, ret, err);
}

int point_read_vm(struct store_point *p, const char *uuid, struct vm_record *ret, struct err *err)
{
    _cleanup_free_ char *name = point_vm_name(uuid, "vm.json");
    _cleanup_json_ json_t *j = NULL;

    int r = name ? point_read_json(p, name, &j, err) : err_nomem(err);
    return r < 0 ? r : vm_record_from_json(j, ret, err);
}

int point_read_frame(struct store_point *p, const struct vm_record_part *part, struct buf *ret, struct err *err)
{
    _cleanup_(store_image_close_p) struct store_image *image = NULL;
    _cleanup_buf_ struct buf frame = BUF_INIT;
    uint64_t size, places;

    if (!part->stored_as)
        return err_set(err, EUCLEAN, "the restore point does not say where the memory is stored");
    int r = store_image_open(p, part->stored_as, &image, err);
    if (r < 0)
        return r;
    if (store_image_size(image) > MEMORY_FRAME_MAX)
        return err_set(err, EUCLEAN, "the map of the saved memory is damaged: it is too large");
    size_t n = (size_t)store_image_size(image);
    if (buf_reserve(&frame, n + 1) < 0)
        return err_nomem(err);
    r = store_image_read(image, 0, frame.data, n, err);
    frame.len = n;
    if (r == 0)
        r = memory_frame_size(frame.data, n, &size, &places, err);
    if (r == 0 && size != part->size)
        r = err_set(err, EUCLEAN, "the map of the saved memory does not match the VM's record");
    if (r < 0)
        return r;
    *ret = frame;
    frame = (struct buf)BUF_INIT;
    return 0;
}

json_t *point_find_vm(const json_t *meta, const char *name_or_uuid)
{
    size_t i;
    json_t *vm;

    json_array_foreach (point_vms(meta), i, vm) {
        const struct vm_record_listed l = vm_record_listed(vm);
        if ((l.name && !strcmp(l.name, name_or_uuid)) || (l.uuid && guid_equal(l.uuid, name_or_uuid)))
            return vm;
    }
    return NULL;
}

static int point_unknown_vm(json_t *const *metas, size_t n, const char *name, struct err *err)
{
    _cleanup_free_ const char **names = NULL;
    size_t k, count = 0;
    json_t *vm;

    for (size_t i = 0; i < n; i++)
        count += json_array_size(point_vms(metas[i]));
    if (!(names = calloc(count + 1, sizeof(*names))))
        return err_nomem(err);
    count = 0;
    for (size_t i = 0; i < n; i++)
        json_array_foreach (point_vms(metas[i]), k, vm)
            if (vm_record_listed(vm).name)
                names[count++] = vm_record_listed(vm).name;
    const char *like = text_similar(name, names, count);
    return err_set(err, ENOENT, "no restore point contains VM '%s'%s%s%s", name, like ? "; did you mean '" : "", like ? like : "",
                   like ? "'?" : "");
}

int point_check_vms(json_t *const *metas, size_t n, char *const *vms, struct err *err)
{
    for (; vms && *vms; vms++) {
        bool held = false;
        for (size_t i = 0; i < n && !held; i++)
            held = metas[i] && point_find_vm(metas[i], *vms);
        if (!held)
            return point_unknown_vm(metas, n, *vms, err);
    }
    return 0;
}
