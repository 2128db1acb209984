/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Points in time by pull backup job, checkpoints, and what libvirt keeps beside a definition. */
#ifndef HYPERVISOR_HV_JOB_H
#define HYPERVISOR_HV_JOB_H

#include "hypervisor/hv_domain.h"
#include <kvss/range.h>

struct hv_backup_disk {
    const char *target;
    /* New file that QEMU keeps overwritten blocks in, in a folder that QEMU may write. hv_backup_prepare() makes it (two requests
     * may name the same one), hv_backup_end() removes it; who prepares a job and does not begin it removes it himself. */
    const char *scratch;
    const char *since; /* checkpoint for the dirty bitmap of this disk, NULL: none */
    bool made;         /* it was made for an earlier request of this job */
    bool checkpoint;   /* take part in the new checkpoint (only formats with bitmaps: qcow2) */
};
/* The folder for the scratch file of a disk whose image is this: wanted (snapshot-dir), or beside the image, or the nearest folder above it
 * on its volume; one where nobody but root and QEMU's user can exchange it. *ret is NULL where there is no such folder by itself: image is
 * NULL (on the network) or a device, and nothing is wanted; then it lies in the session's own. -EPERM: there is none, or wanted is not so.
 * Caller frees. The only place that knows where scratch files lie. */
int hv_scratch_dir(struct hv *hv, const char *image, const char *wanted, char **ret, struct err *err);
/* A name for the job's socket in libvirt's own folder of the VM, where every security driver lets QEMU make one: AppArmor's profiles, as
 * libvirt writes them, know no other place that could be used. The folder is another one each time the VM is started, and gone when it
 * ends. Caller frees. -ENOENT: it does not run, or has no such folder; -EACCES: the folder is closed to this user; -ENAMETOOLONG. */
int hv_backup_socket(struct hv_domain *d, char **ret, struct err *err);
/* Removes what QEMU left of it; a folder that is gone, and whatever is no socket, is left alone. */
int hv_backup_socket_remove(const char *path, struct err *err);
/* What confines the VM's QEMU beyond its user. Caller frees both. *ret_model: "apparmor", "selinux" or another model; NULL: nothing.
 * *ret_label: profile or context. */
int hv_confinement(struct hv_domain *d, char **ret_model, char **ret_label, struct err *err);
/* Whether the kernel's AppArmor lets a profile read, write and make the file, socket or folder at path. 1 yes, 0 no, -errno: the kernel
 * cannot be asked. */
int hv_apparmor_allows(const char *profile, const char *path);
#define HV_BACKUP_MARK "kvss" /* must be somewhere in the socket's path: so hv_backup_end() knows our jobs from others' */
struct hv_backup {
    const char *socket;     /* UNIX socket of the NBD server, not existing yet: hv_backup_socket(), or where else QEMU may write */
    const char *checkpoint; /* NULL: none */
    size_t n_disks;
    const struct hv_backup_disk *disks; /* disks of the VM that are not listed take no part */
};
struct hv_backup_request; /* XML made ready beforehand, so that nothing slow is left while the guest is frozen */
int hv_backup_prepare(struct hv_domain *d, const struct hv_backup *b, struct hv_backup_request **ret, struct err *err);
void hv_backup_request_free(struct hv_backup_request *r);
/* The point in time: all disks at once. The exports are named after the targets. -EEXIST the checkpoint is there already. -ETIMEDOUT,
 * -EINTR: QEMU does not answer, and the job may begin late; *r is NULL then, else it can be used again. */
int hv_backup_begin(struct hv_domain *d, struct hv_backup_request **r, struct err *err);
/* Ends the job if one of ours runs (none is fine); the checkpoint stays. Waits until QEMU has let go of scratch and socket. */
int hv_backup_end(struct hv_domain *d, struct err *err);
/* To be called before, where whoever read from the job may have died with reads under way: QEMU that has replies to be rid of cannot end a
 * job, and hangs for ever (seen with 7.2). They are taken by others (base/keeper.h) in a moment, which is waited for: 2 s, where
 * there is a connection. */
void hv_backup_settle(struct hv_domain *d);
/* "nbd+unix:///vda?socket=PATH"; caller frees. */
char *hv_nbd_uri(const char *socket, const char *export_name);
/* Dirty context name of a target in such an export: "qemu:dirty-bitmap:backup-vda"; caller frees. */
char *hv_dirty_context(const char *target);

/* Of these disks of a VM that has a QEMU. -ETIMEDOUT, -EINTR: it may still come about. */
int hv_checkpoint_create(struct hv_domain *d, const char *name, char *const *targets, struct err *err);
int hv_checkpoint_delete(struct hv_domain *d, const char *name, bool metadata_only, struct err *err); /* absent is fine */
/* Deletes every checkpoint of the VM whose name begins with `prefix`; of a VM that is off also the bitmaps of that name which libvirt
 * knows nothing of. Each that went is added to *dropped (caller frees, also after a failure). */
int hv_checkpoints_drop(struct hv_domain *d, const char *prefix, char ***dropped, struct err *err);
/* Adds to *ret the bitmaps of that prefix in its qcow2 images of which libvirt knows no checkpoint, as far as the images can be read: QEMU
 * goes on recording in them, and does not go back to a snapshot inside the image beside them. -ENOMEM. Caller frees. */
int hv_forgotten_bitmaps(const struct hv_domain *d, const char *prefix, char ***ret);
/* How many snapshots inside its images libvirt knows of. */
int hv_internal_snapshots(struct hv_domain *d, size_t *ret, struct err *err);
/* Targets of the disks that take part in it; NULL: none. */
int hv_checkpoint_disks(struct hv_domain *d, const char *name, char ***ret, struct err *err);
int hv_checkpoint_xml(struct hv_domain *d, const char *name, char **ret, struct err *err);
/* validate: against the bitmaps, which only a VM that runs can do. */
int hv_checkpoint_redefine(struct hv_domain *d, const char *xml, bool validate, struct err *err);
/* Makes a checkpoint of a running VM known to libvirt again, of these disks; fails unless all of their bitmaps are there, sound. */
int hv_checkpoint_revive(struct hv_domain *d, const char *name, int64_t created_s, char *const *targets, struct err *err);

/* ---- Kept copies (B4) -----------------------------------------------------------------------------------------------------------------
 * Of a disk whose format records no changes: a copy of its image as of a checkpoint, next to it, that shares its blocks. What lies in the
 * same blocks in both has not changed. */
struct hv_kept_copy {
    const char *vm_uuid, *target, *checkpoint;
    const char *image; /* path */
};
/* Where hv_kept_copy_make() makes it. Caller frees. NULL: err says why there is no place. */
char *hv_kept_copy_path(struct hv *hv, const struct hv_kept_copy *k, struct err *err);
/* From the image as of the checkpoint, on the same file system, which nobody writes any more. */
int hv_kept_copy_make(struct hv *hv, const struct hv_kept_copy *k, const char *copy, struct err *err);
/* What differs between it and `copy`, a later state of the image. *ret is malloc'd. -ENOENT: none was kept (err is not set); other errors
 * say why it is of no use. */
int hv_kept_copy_changes(struct hv *hv, const struct hv_kept_copy *k, const char *copy, struct kvss_range **ret, size_t *ret_n,
                         struct err *err);
/* Adds the checkpoints of that prefix of which a disk of the VM has a kept copy. d has its disks. Caller frees. */
int hv_kept_copies(const struct hv_domain *d, const char *prefix, char ***ret, struct err *err);
/* Removes those of that prefix, but for the checkpoints to keep (may be NULL). *dropped (dropped may be NULL) as of
 * hv_checkpoints_drop(). */
int hv_kept_copies_drop(const struct hv_domain *d, const char *prefix, char *const *keep, char ***dropped, struct err *err);

/* ---- Differencing disks (M9) ------------------------------------------------------------------------------------------------------
 * From an instant on each disk writes into an overlay of its own, and its image stays as it was: a shadow copy of the volume may then be
 * taken at leisure. Afterwards the overlay is committed back. */
struct hv_overlay {
    const char *target;
    const char *path;          /* of the overlay: a new qcow2 file in a folder that QEMU may write to (hv_scratch_dir()) */
    const char *base, *format; /* the image that is active until then: file or block device */
    /* Of hv_overlay_end(): */
    const char *base_id; /* which file the image was (io_id_at()), for where nothing else tells; NULL: not known */
    bool undo;           /* of a session that failed, or died: perhaps for want of room */
    bool half_made;      /* the switch is not known to have come about: its file need not be an image yet */
    bool inherited;      /* another process, which has died, made the switch: libvirt may be at it still */
};
struct hv_overlay_request; /* files and XML made ready beforehand */
/* All of them or none. What was prepared and not begun the caller removes. */
int hv_overlay_prepare(struct hv_domain *d, const struct hv_overlay *list, size_t n, struct hv_overlay_request **ret, struct err *err);
void hv_overlay_request_free(struct hv_overlay_request *r);
/* The instant: all disks at once. -ETIMEDOUT, -EINTR: QEMU does not answer, and it may still come about; *r is NULL then. */
int hv_overlay_begin(struct hv_domain *d, struct hv_overlay_request **r, struct err *err);
/* Whatever the VM does now (runs, is off or saved, is gone): what was written into the overlay is in the image afterwards, and the VM has
 * the image again; one that QEMU has stopped, since the overlay could not grow, goes on. 0: the file is not needed any more, and stays.
 * Harmless where it was never used, or this was done before. 1: somebody else has taken it away from the VM, it has what the VM wrote
 * last, and err says so. -EBUSY: somebody has put a further overlay on it while the VM was off, or has another block job. -ESTALE: there
 * is no such VM any more, and another image in the place of its own. */
int hv_overlay_end(struct hv *hv, const char *uuid, const struct hv_overlay *o, struct err *err);

/* What libvirt knows of a VM beside its definition, and forgets when it is undefined. */
struct hv_kept {
    char **snapshots, **checkpoints; /* as XML, parents first; NULL: none */
    size_t current;                  /* number (from 1) of the current snapshot; 0: none */
};
int hv_keep_metadata(struct hv_domain *d, struct hv_kept *ret, struct err *err);
void hv_kept_clear(struct hv_kept *k);
/* Makes all of it known again for the VM, which is off; nothing in an image changes, and nothing is compared with them. */
int hv_restore_metadata(struct hv_domain *d, const struct hv_kept *k, struct err *err);

#endif
