/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM restored under another name, beside the one that was backed up: the requester has chosen its name and UUID. */
#include "writers/vm/vm_internal.h"
#include <errno.h>

const char *vm_restore_option(const struct vm_restore *r, const char *name)
{
    return json_string_value(json_object_get(r->options, name));
}

bool vm_is_copy(const struct vm_restore *r)
{
    return vm_restore_option(r, "name") != NULL;
}

const char *vm_restored_name(const struct vm_restore *r)
{
    const char *name = vm_restore_option(r, "name");

    return name ? name : r->name;
}

static bool keeps_mac(const struct vm_restore *r)
{
    return json_is_true(json_object_get(r->options, "keep_mac"));
}

static int wrong_definition(const struct hv_def *def, struct err *err)
{
    return err_set(err, EINVAL, "the stored definition belongs to another VM (%s)", hv_def_uuid(def) ? hv_def_uuid(def) : "no UUID");
}

static bool copy_is_of(const struct hv_def *def, const char *uuid)
{
    return hv_def_uuid(def) && uuid && guid_equal(hv_def_uuid(def), uuid);
}

int vm_correct_identity(struct vm_restore *r, struct hv_def *def, bool tell, struct err *err)
{
    struct hv_def_copy copy = { vm_restore_option(r, "name"), vm_restore_option(r, "uuid"), keeps_mac(r), false };
    _cleanup_strv_ char **notes = NULL;

    if (!copy.name)
        return copy_is_of(def, r->uuid) ? 0 : wrong_definition(def, err);
    if (!copy.uuid || !guid_parse(copy.uuid, NULL))
        return err_set(err, EINVAL, "the restore options name a copy but no UUID for it");
    if (copy_is_of(def, copy.uuid))
        return 0; /* the definition in the saved state, which was renamed before */
    if (!copy_is_of(def, r->uuid))
        return wrong_definition(def, err);
    int rc = hv_def_make_copy(def, &copy, &notes, err);
    for (char **n = notes; rc >= 0 && tell && n && *n; n++)
        vm_restore_warn(r, "%s", *n);
    return rc;
}

int vm_rename_memory(struct vm_restore *r, const char *memory, struct err *err)
{
    struct hv_def_copy copy = { .name = vm_restore_option(r, "name"), .uuid = vm_restore_option(r, "uuid") };

    if (!copy.name)
        return 0;
    int rc = copy.uuid ? hv_save_image_rename(memory, &copy, err) : err_set(err, EINVAL, "the copy has no UUID");
    return rc < 0 ? rc : 0;
}

int vm_quiet_memory_nics(struct vm_restore *r, struct hv_def *def, struct err *err)
{
    if (!vm_is_copy(r) || keeps_mac(r) || hv_def_nic_count(def) == 0)
        return 0;
    for (size_t i = 0; i < hv_def_nic_count(def); i++) {
        int rc = hv_def_nic_link(def, i, false, err);
        if (rc < 0)
            return rc;
    }
    vm_restore_step(r, "network", "links down as long as it runs with the memory of the original");
    vm_restore_warn(r, "its memory contains the MAC and IP addresses of the original, so its links are down until its next boot (virsh "
                       "domif-setlink brings them up anyway; --keep-mac restores with links up)");
    return 0;
}
