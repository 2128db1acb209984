/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logical volumes: what `lvm` says of them, their snapshots, and the mounts of those. */
#ifndef PROVIDERS_LVM_INTERNAL_H
#define PROVIDERS_LVM_INTERNAL_H

#include "base/cleanup.h"
#include "journal/journal.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- lvm.c: the command --------------------------------------------------------------------------------------------------------- */

/* One logical volume, as reported. Sizes in bytes. */
struct lvm_volume {
    char *name, *uuid, *path; /* path: of its device; "" if it is not active */
    char *vg, *vg_uuid;
    char *pool;        /* of a thin volume; "" */
    char *tags;        /* separated by commas */
    char *kind, *role; /* as lvm calls them: segtype, lv_role */
    uint64_t size, extent, vg_free;
    unsigned full, metadata_full; /* percent in use, of a pool or a snapshot */
    bool invalid;                 /* a snapshot that ran out of space */
};
void lvm_volume_clear(struct lvm_volume *v);

/* Whether the device is a logical volume that can have snapshots, by the kernel alone: quick. */
bool lvm_is_volume(dev_t dev);
/* select: as of lvmreport(7). -ENOENT: there is none. ret is to be cleared in every case. */
int lvm_find(const char *select, struct lvm_volume *ret, struct err *err);
int lvm_of_device(dev_t dev, struct lvm_volume *ret, struct err *err);
int lvm_named(const char *vg_uuid, const char *name, struct lvm_volume *ret, struct err *err);
int lvm_tagged(const char *vg_uuid, const char *tag, struct lvm_volume *ret, struct err *err);
/* What kind of snapshot it can have; neither: none. */
bool lvm_is_thin(const struct lvm_volume *v);
bool lvm_is_classic(const struct lvm_volume *v);
/* Whether there is such a volume group. */
int lvm_group(const char *select, bool *ret, struct err *err);
/* From what `lvs` printed. */
int lvm_parse(const char *text, size_t n, struct lvm_volume *ret, struct err *err);
/* Of the kernel: which logical volume the device is, as text to compare. NULL: it is none. Caller frees. */
char *lvm_device_id(dev_t dev);

struct lvm_wish {
    const char *name, *tag;
    bool thin;
    uint64_t size; /* of a classic one: for what changes meanwhile */
    bool read_only;
};
/* Makes a snapshot of v, whose device is ready. It is never interrupted: that could leave v suspended. */
int lvm_snapshot(const struct lvm_volume *v, const struct lvm_wish *wish, struct err *err);
/* The one with this UUID, whatever its name is. */
int lvm_remove(const char *uuid, struct err *err);

/* ---- lvm_mount.c ------------------------------------------------------------------------------------------------------------------ */

/* The type by which the file system of the folder can be mounted a second time, from a snapshot; NULL: it cannot. */
const char *lvm_mountable(const char *folder);
/* Mounts the device at a new folder, and finds there what `folder` is on the original. *ret: caller frees. */
int lvm_mount(const char *device, const char *type, const char *at, const char *folder, char **ret, struct err *err);
/* Nobody can write to it any more. */
int lvm_mount_close(const char *at, struct err *err);
#define VERB_VOLUME_MOUNT "volume-mount" /* "path", "device": lvm_device_id() */
int lvm_undo_mount(void *ctx, const struct journal_effect *e, struct err *err);

#endif
