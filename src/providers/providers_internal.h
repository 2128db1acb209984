/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a built-in provider is. To add one: a file that defines `const struct builtin_provider NAME`, and NAME in meson.build. */
#ifndef PROVIDERS_PROVIDERS_INTERNAL_H
#define PROVIDERS_PROVIDERS_INTERNAL_H

#include "providers/providers.h"

struct builtin_provider {
    const struct kvss_provider *ops;
    int (*make)(const struct provider_context *context, void **ret_p, struct err *err);
    void (*free)(void *p);
    const struct journal_verb *verbs; /* how its effects are undone; ends with { NULL, NULL }; NULL: it has none */
    int priority;                     /* the higher is asked first */
    bool owns_files;                  /* it takes over provider_context.files */
    bool files_in_device;             /* its device is the volume as of the commit: whatever was on it is found below it */
};

/* bitmaps.c. Whether a qcow2 image is of its version 2, which keeps no bitmaps (libvirt makes such volumes unless told otherwise). */
bool image_is_old_qcow2(const char *path);
/* Starts the export of a qcow2 image that no QEMU has open, with what has changed since the bitmap was made. Without export there is
 * *ret_why_full, which the caller frees. -EBUSY: the image is in use. */
int image_export_since(const char *dir, const char *path, const char *bitmap, struct hv_export **ret, char **ret_why_full, struct err *err);
#define OLD_QCOW2 "images of the old qcow2 version cannot store dirty bitmaps; to upgrade it, with the VM off: qemu-img amend -o compat=1.1"

/* The effect of a checkpoint, of whichever provider: "group", "vm", "name". */
#define VERB_CHECKPOINT "checkpoint"

/* Room in the folder. */
int provider_room_of(const char *place, struct kvss_room *ret, struct err *err);

#endif
