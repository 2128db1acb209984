/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of an emulated TPM (B7). libvirt keeps it by the VM's UUID, so where it goes follows from the UUID that the VM gets; swtpm
 * runs as a user of its own, who must own it. */
#include "base/io.h"
#include "requester/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* "tpm2/tpm2-00.permall": two plain names; it came from a repository. */
static bool is_sound(const char *below)
{
    const char *slash = strchr(below, '/');

    return slash && !strchr(slash + 1, '/') && !strncmp(below, "tpm", 3) && !strncmp(slash + 1, "tpm", 3);
}

/* A folder that was not there is its user's alone. */
static int give_folder(const char *file, const char *made, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(file);
    _cleanup_close_ int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    struct stat st;

    if (fd < 0 || stat(made, &st) < 0)
        return err_errno(err, dir ? errno : ENOMEM, "cannot open the folder of %s", file);
    if ((geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0) || fchmod(fd, 0700) < 0)
        return err_errno(err, errno, "cannot set the owner of %s", dir);
    return 0;
}

/* By the UUID that it is registered with; without libvirt, beside the images. */
static int place(const struct restore *r, const struct restore_vm *vm, char **ret, struct err *err)
{
    if (r->s->hv)
        return hv_tpm_dir(r->s->hv, vm->as_uuid ? vm->as_uuid : vm->uuid, ret, err);
    *ret = str_format("%s/%s.tpm", r->to_dir, vm->name);
    return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

int restore_tpm_target(const struct restore *r, const struct restore_vm *vm, const json_t *part, char **ret, struct err *err)
{
    const char *below = json_get_text(part, "tpm");
    _cleanup_free_ char *dir = NULL;

    if (vm->part || !below || !json_get_text(part, "stored_as"))
        return 0;
    if (!is_sound(below))
        return err_set(err, EUCLEAN, "the restore point does not say where a file of the TPM belongs");
    int rc = place(r, vm, &dir, err);
    if (rc < 0)
        return rc;
    *ret = io_path(dir, below);
    return *ret ? 1 : err_set(err, ENOMEM, "out of memory");
}

static int stage_part(struct restore *r, struct restore_vm *vm, const json_t *part, const char *target, struct err *err)
{
    _cleanup_free_ char *folder = io_dirname(target);
    const char *made;

    if (!folder)
        return err_set(err, ENOMEM, "out of memory");
    bool there = io_exists(folder);
    int rc = restore_stage_part(r, vm, part, target, &made, err);
    return rc < 0 || there ? rc : give_folder(target, made, err);
}

int restore_stage_tpm(struct restore *r, struct restore_vm *vm, struct err *err)
{
    size_t i;
    json_t *part;

    json_array_foreach (json_object_get(vm->record, "parts"), i, part) {
        _cleanup_free_ char *target = NULL;
        int rc = restore_tpm_target(r, vm, part, &target, err);
        if (rc > 0)
            rc = stage_part(r, vm, part, target, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
