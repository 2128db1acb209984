/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HYPERVISOR_JOB_NEW_IMAGE_H
#define HYPERVISOR_JOB_NEW_IMAGE_H

#include "hypervisor/hypervisor.h"

/* A qcow2 image that is made for QEMU: new, empty, and its user's. */
struct new_image {
    const char *path, *what;              /* "scratch file" */
    const char *backing, *backing_format; /* absolute path; NULL: none */
    uint64_t size;                        /* bytes */
};
/* Nothing of it is left after a failure; -EEXIST too where the file was replaced while it was made. */
int new_image_make(struct hv *hv, const struct new_image *i, struct err *err);
void new_image_drop(const char *path);

#endif
