/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of an emulated TPM (B7). libvirt keeps it by the VM's UUID, so where it goes follows from the UUID that the VM gets; swtpm
 * runs as a user of its own, who must own it. */
#include "base/io.h"
#include "base/io_at.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* "tpm2/tpm2-00.permall": two plain names; it came from a repository. */
static bool is_sound(const char *below)
{
    const char *slash = strchr(below, '/');

    return slash && !strchr(slash + 1, '/') && !strncmp(below, "tpm", 3) && !strncmp(slash + 1, "tpm", 3);
}

/* What a folder that was made is given: its user's, who has the file in it, alone. */
struct give {
    const char *folder;
    uid_t uid;
    gid_t gid;
};

static int give_folder(void *priv, const char *path, int fd, struct err *err)
{
    const struct give *g = priv;

    if (strcmp(path, g->folder))
        return 0;
    if ((geteuid() == 0 && fchown(fd, g->uid, g->gid) < 0) || fchmod(fd, 0700) < 0)
        return err_errno(err, errno, "cannot set the owner of %s", path);
    return 0;
}

static int give_folder_of(struct restore *r, const struct restore_vm *vm, const char *folder, const char *made, struct err *err)
{
    _cleanup_close_ int fd = io_open_entry(made, O_PATH, err);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot access %s", made);
    struct give g = { folder, st.st_uid, st.st_gid };
    return stage_each_folder(r->stage, vm->uuid, give_folder, &g, err);
}

/* By the UUID that it is registered with; without libvirt, beside the images. */
static int restore_tpm_place(const struct restore *r, const struct restore_vm *vm, char **ret, struct err *err)
{
    if (r->s->hv)
        return hv_tpm_dir(r->s->hv, vm->as_uuid ? vm->as_uuid : vm->uuid, ret, err);
    *ret = str_format("%s/%s.tpm", r->to_dir, vm->name);
    return *ret ? 0 : err_nomem(err);
}

int restore_tpm_target(const struct restore *r, const struct restore_vm *vm, const struct vm_record_part *part, char **ret, struct err *err)
{
    const char *below = part->tpm;
    _cleanup_free_ char *dir = NULL;

    if (vm->part || !below || !part->stored_as)
        return 0;
    if (!is_sound(below))
        return err_set(err, EUCLEAN, "the restore point does not record the path of a TPM file");
    int rc = restore_tpm_place(r, vm, &dir, err);
    if (rc < 0)
        return rc;
    *ret = io_path(dir, below);
    return *ret ? 1 : err_nomem(err);
}

static int stage_part(struct restore *r, struct restore_vm *vm, const struct vm_record_part *part, const char *target, struct err *err)
{
    _cleanup_free_ char *folder = io_dirname(target);
    const char *made;

    if (!folder)
        return err_nomem(err);
    int rc = restore_stage_part(r, vm, part, target, &made, err);
    return rc < 0 ? rc : give_folder_of(r, vm, folder, made, err);
}

int restore_stage_tpm(struct restore *r, struct restore_vm *vm, struct err *err)
{
    for (size_t i = 0; i < vm->record.n_parts; i++) {
        const struct vm_record_part *part = &vm->record.parts[i];
        _cleanup_free_ char *target = NULL;
        int rc = restore_tpm_target(r, vm, part, &target, err);
        if (rc > 0)
            rc = stage_part(r, vm, part, target, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
