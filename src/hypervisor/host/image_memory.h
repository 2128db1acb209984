/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What qemu-img said of images that have not changed since: a command asks about each image several times (the chain of a disk, its format,
 * its bitmaps), and about those of a VM that is off each time for the same answer. */
#ifndef HYPERVISOR_HOST_IMAGE_MEMORY_H
#define HYPERVISOR_HOST_IMAGE_MEMORY_H

#include "hypervisor/hypervisor.h"
#include <sys/stat.h>

/* Which file, as it was: of an open descriptor. */
struct image_state {
    bool known; /* false: it may have changed a moment ago, and change again without a trace */
    dev_t dev;
    ino_t inode;
    off_t size;
    struct timespec changed, written;
};
struct image_state image_state_of(int fd);

/* A copy of what was said of that file in that state, opened as `format` (NULL: probed). false: nothing. Thread-safe, as the next. */
bool image_memory_find(struct hv *hv, const struct image_state *state, const char *format, struct hv_image_info *ret);
/* Keeps a copy; where that fails the tool is run again. */
void image_memory_keep(struct hv *hv, const struct image_state *state, const char *format, const struct hv_image_info *info);
void image_memory_free(struct hv *hv);

#endif
