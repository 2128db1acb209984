/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the providers share that copy volumes or files of the host (btrfs, reflink, lvm). The point in time of a VM's disk is an overlay,
 * taken while the guest is held; the image below it is copied at leisure, and the overlay is committed back. Clauses M9, M22; behaviours
 * 20-24. */
#ifndef PROVIDERS_VOLUME_INTERNAL_H
#define PROVIDERS_VOLUME_INTERNAL_H

#include "base/cleanup.h"
#include "providers/providers_internal.h"

/* One disk of a point. */
struct volume_disk {
    char *target, *path, *format;
    bool written;           /* by the VM: its image stands still only below an overlay */
    char *overlay;          /* NULL: it needs none */
    uint64_t fx_overlay;    /* its effect; 0: none */
    struct hv_export *lock; /* keeps a VM that is off from writing it until it is copied; NULL: none */
    char *since;            /* bitmap of which the changes are wanted; NULL: all is read */
    char *why_full;         /* they were asked for, but this is why there are none */
    char *kept_since;       /* the same, by a copy that was kept (hv_job.h) */
    struct kvss_range *changed;
    size_t n_changed;
    bool changes_known;       /* changed is filled */
    bool keeps;               /* its copy may be kept */
    struct hv_export *export; /* of the copy with its changes; NULL: kvss reads the copy by itself */
    char *copy;               /* where it is read; NULL: not copied yet */
    uint64_t fx_copy;
};

/* The point in time of one VM. */
struct volume_point {
    struct volume_point *next;
    char *set_id, *vm_uuid, *vm_name;
    bool active, late; /* late: the volumes are copied already, and the VM has not run since */
    char *checkpoint;  /* to be made with the point; NULL: none */
    char **tracked;    /* the disks that take part in it */
    uint64_t fx_checkpoint;
    struct hv_domain *dom;
    size_t n_disks;
    struct volume_disk *disks;
    struct hv_overlay_request *request; /* NULL: no overlays */
};

/* The shadow copy of one volume. */
struct volume_copy {
    struct volume_copy *next;
    char *set_id, *snapshot_id, *volume;
    char *path; /* of the copy; NULL: there is none, only files are copied */
    bool made;  /* after the commit */
    uint64_t fx;
    uint64_t fx_open; /* of opening it; 0: none. Undone first */
    void *state;      /* the kind's own */
};

struct volume_provider;

/* How the one differs from the other. */
struct volume_kind {
    const char *name;
    bool clones; /* copies share the image's blocks on its own file system, so that they can be kept */
    /* Whether it can copy what is on the volume. Quick. */
    int (*supports)(const struct volume_provider *p, const struct kvss_volume *volume, bool *ret, struct err *err);
    /* Looks at a volume beforehand. May set state, which free_state frees. NULL: there is nothing to look at. */
    int (*prepare_volume)(struct volume_provider *p, struct volume_copy *c, struct err *err);
    void (*free_state)(void *state);
    /* The same right before writers are held, when all volumes of the set are known. NULL: nothing can have changed. */
    int (*look_again)(struct volume_provider *p, struct volume_copy *c, struct err *err);
    /* Copies a volume: writers may be held. Sets path. NULL: it copies disks. */
    int (*copy_volume)(struct volume_provider *p, struct volume_copy *c, struct err *err);
    /* Makes the copy accessible, after writers were released. May set path. NULL: it is already. */
    int (*open_volume)(struct volume_provider *p, struct volume_copy *c, struct err *err);
    /* Rolls back what came after the point (overlays), and closes the copy to writes. NULL: nothing is to be done. */
    int (*seal_volume)(struct volume_provider *p, struct volume_copy *c, struct err *err);
    /* Whether the copy is still what it was. NULL: it always is. */
    int (*check_volume)(struct volume_provider *p, struct volume_copy *c, struct err *err);
    /* Whether the disk can be copied, before anything is done; NULL: it can. */
    int (*check_disk)(struct volume_provider *p, const struct volume_disk *d, struct err *err);
    /* Copies the image of a disk, which nobody writes. Sets copy. NULL: it is in the copy of its volume. */
    int (*copy_disk)(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err);
};

struct volume_provider {
    const struct volume_kind *kind;
    struct provider_context config;
    pthread_mutex_t lock; /* of the lists; a point is used by one thread at a time */
    struct volume_point *points;
    struct volume_copy *copies;
    bool committing; /* under the lock; the condition is for its end */
    pthread_cond_t committed;
};

int volume_provider_new(const struct volume_kind *kind, const struct provider_context *context, void **ret, struct err *err);
void volume_provider_free(void *p);

/* ---- Calls of struct kvss_provider that both have in common -------------------------------------------------------------------------*/
int volume_is_supported(void *p, const struct kvss_volume *volume, bool *ret, struct err *err);
int volume_free_room(void *p, const char *volume, struct kvss_room *ret, struct err *err);
int volume_begin_prepare(void *p, const char *set_id, const char *snapshot_id, const char *volume, uint32_t context, struct err *err);
int volume_prepare_point(void *p, const struct kvss_point *point, struct err *err);
int volume_take_point(void *p, const struct kvss_point *point, struct err *err);
int volume_end_prepare(void *p, const char *set_id, struct err *err);
int volume_pre_commit(void *p, const char *set_id, struct err *err);
int volume_commit(void *p, const char *set_id, struct err *err);
int volume_pre_final_commit(void *p, const char *set_id, struct err *err);
int volume_post_final_commit(void *p, const char *set_id, struct err *err);
int volume_check_snapshots(void *p, const char *set_id, char **ret_vm_uuid, struct err *err);
int volume_snapshot_device(void *p, const char *set_id, const char *snapshot_id, char **ret_device, struct err *err);
int volume_open_disk(void *p, const char *set_id, const char *vm_uuid, const char *target, struct kvss_disk_source *ret, struct err *err);
int volume_abort_snapshots(void *p, const char *set_id, struct err *err);
int volume_delete_snapshots(void *p, const char *set_id, struct err *err);

#define VOLUME_PROVIDER_OPS                                                                                                              \
    .struct_size = sizeof(struct kvss_provider), .api = KVSS_PROVIDER_API, .version = "1", .type = KVSS_PROV_SOFTWARE,                   \
    .free_room = volume_free_room, .is_volume_supported = volume_is_supported, .begin_prepare = volume_begin_prepare,                    \
    .prepare_point = volume_prepare_point, .take_point = volume_take_point, .end_prepare = volume_end_prepare,                           \
    .pre_commit = volume_pre_commit, .commit = volume_commit, .pre_final_commit = volume_pre_final_commit,                               \
    .post_final_commit = volume_post_final_commit, .snapshot_device = volume_snapshot_device, .check_snapshots = volume_check_snapshots, \
    .open_disk = volume_open_disk, .abort_snapshots = volume_abort_snapshots, .delete_snapshots = volume_delete_snapshots

/* ---- volume_point.c -----------------------------------------------------------------------------------------------------------------*/
int volume_point_new(const struct volume_provider *p, const struct kvss_point *from, struct volume_point **ret, struct err *err);
void volume_point_free(struct volume_point *pt);
DEFINE_CLEANUP(struct volume_point *, volume_point_free)
int volume_point_prepare(struct volume_provider *p, struct volume_point *pt, struct err *err);
int volume_point_take(struct volume_provider *p, struct volume_point *pt, struct err *err);
/* The images are copied, or in a copy: the disks write into them again, and VMs that are off may be started. */
int volume_point_end(struct volume_provider *p, struct volume_point *pt, struct err *err);
/* Overlays and copies are undone, and the checkpoint if that is not to stay. Goes on after failures; the first is returned. */
int volume_point_undo(struct volume_provider *p, struct volume_point *pt, bool drop_checkpoint, struct err *err);
/* volume_kept.c. What changed since the copy that was kept: fills changed, or why_full. */
int volume_kept_ask(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err);
/* Keeps copies of those disks of the set that record no changes, where that is wanted. What cannot be kept is a warning. */
void volume_kept_make(struct volume_provider *p, const char *set_id);
/* The copy of its volume in which the image lies; *ret_path: the path of the image, without links. -EXDEV: in none of the set. */
int volume_copy_of(struct volume_provider *p, const struct volume_point *pt, const struct volume_disk *d, struct volume_copy **ret,
                   char **ret_path, struct err *err);

/* ---- volume_effects.c -----------------------------------------------------------------------------------------------------------------
 * Effects have the values "group" (the VM's UUID) and "vm" (its name), or neither, and what the verb needs. */
#define VERB_OVERLAY "overlay"                            /* "path", "target", "base", "base_id", "format" */
#define VERB_IMAGE_COPY "image-copy"                      /* "path" */
#define VERB_KEPT_COPY "kept-copy"                        /* "path" */
#define VERB_VOLUME_COPY "volume-copy"                    /* "path": a subvolume of btrfs */
extern const struct journal_verb volume_provider_verbs[]; /* ctx is the struct hv * */
int volume_overlay_effect(struct volume_provider *p, const struct volume_point *pt, struct volume_disk *d, struct err *err);
int volume_checkpoint_effect(struct volume_provider *p, struct volume_point *pt, struct err *err);
int volume_copy_effect(struct volume_provider *p, const struct volume_point *pt, const char *path, uint64_t *ret_id, struct err *err);
int volume_kept_effect(struct volume_provider *p, const struct volume_point *pt, const char *path, uint64_t *ret_id, struct err *err);
/* Removes overlays of the set from the copy of a volume: the images in it are as of the point. */
int volume_drop_overlays(struct volume_provider *p, const struct volume_copy *c, struct err *err);
int volume_effect_done(struct volume_provider *p, uint64_t id, struct err *err);

/* ---- btrfs_provider.c ----------------------------------------------------------------------------------------------------------------*/
/* Removes the subvolume `name` of the open folder. */
int btrfs_remove(int dir, const char *name, const char *path, struct err *err);

#endif
