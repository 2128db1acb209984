/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file systems that the guest agent would freeze, held open so that they can be thawed without looking up a path. */
#ifndef GUEST_GUEST_MOUNTS_H
#define GUEST_GUEST_MOUNTS_H

#include <kvss/error.h>
#include <stddef.h>

struct guest_mounts {
    int *fds; /* one for each file system, not for each mount point */
    size_t n;
};

/* All that have a block device, and btrfs. A mount point that is gone, or hidden by another one, is passed over. */
int guest_mounts_open(struct guest_mounts *ret, struct err *err);
void guest_mounts_close(struct guest_mounts *m);
/* FITHAW of each as often as it is frozen. Neither allocates nor touches a file. Returns how many had been frozen. */
unsigned guest_mounts_thaw(const struct guest_mounts *m);

#endif
