/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files by the folder that holds them, and what a file is apart from its name: what is about to be removed, or put back, is compared
 * with what was written down of it. All on descriptors, so that nobody can lead a step elsewhere between two looks. Clause B2. */
#ifndef BASE_IO_AT_H
#define BASE_IO_AT_H

#include "base/cleanup.h"
#include <kvss/error.h>
#include <stdbool.h>

#define IO_ID_MAX 512

/* What a file or folder is, as text to be kept: device, file system, inode, time of birth, handle; whatever its file system knows. */
struct io_id {
    char text[IO_ID_MAX];
};

/* Of what an open file (O_PATH will do) is. 0 or -errno. */
int io_id_of(int fd, struct io_id *ret);
/* Of the entry `name` of the open folder; a symbolic link is what it is itself. 0; -ENOENT: there is none; or another -errno. */
int io_id_at(int dir, const char *name, struct io_id *ret);
/* Whether both are certainly of one file, also where its file system was mounted anew meanwhile. Where that is not known: false. */
bool io_id_same(const char *a, const char *b);
/* Whether it was in the host's memory (/run, a tmpfs), and the host was started anew since: then it is gone. */
bool io_id_is_lost(const char *id);

/* Opens the folder that holds path, links followed, and tells the last part of path. *ret_name: caller frees. Every failure is one of
 * reaching it, also ENOENT: under a file system that is not mounted nothing can be found, and nothing is told by that. */
int io_open_parent(const char *path, int *ret_dir, char **ret_name, struct err *err);
/* Makes the changes to the open folder (O_PATH will do) durable. */
int io_fsync_at(int dir);
/* As io_remove_tree(), of an entry of the open folder. 0 or -errno; -EXDEV: a file system is mounted below it. */
int io_remove_tree_at(int dir, const char *name);

#endif
