/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two files that share blocks (XFS, btrfs), by where their blocks are. A block that two files share is never
 * overwritten in its place, and is not given to anybody else as long as one of them exists: what lies in the same place is the same. */
#ifndef BASE_IO_CHANGES_H
#define BASE_IO_CHANGES_H

#include <kvss/error.h>
#include <kvss/range.h>
#include <stddef.h>

/* A run of a file's bytes. */
struct io_extent {
    uint64_t offset, length;
    uint64_t place; /* on the file system */
    uint32_t flags; /* FIEMAP_EXTENT_... */
};

struct io_extents {
    const struct io_extent *list; /* in order, without overlaps */
    size_t n;
};

/* Ranges below `size` that need not have the same content in both. Close ones are joined. Pure. *ret is malloc'd. -ENOMEM. */
int io_compare_extents(const struct io_extents *a, const struct io_extents *b, uint64_t size, struct kvss_range **ret, size_t *ret_n);
/* The same of two open files, which nobody writes meanwhile, below the size of `now`. -EOPNOTSUPP: it cannot be told, and err says why. */
int io_changes(int before, int now, struct kvss_range **ret, size_t *ret_n, struct err *err);
/* Whether an open file can be compared with a clone of it: 0; -EOPNOTSUPP with the reason. */
int io_can_compare(int fd, struct err *err);

#endif
