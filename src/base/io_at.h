/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files by the folder that holds them, and what a file is apart from its name: what is about to be removed, or put back, is compared
 * with what was written down of it. All on descriptors, so that nobody can lead a step elsewhere between two looks. Clause B2. */
#ifndef BASE_IO_AT_H
#define BASE_IO_AT_H

#include "base/cleanup.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <sys/types.h>

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

/* ---- Reaching a place ---------------------------------------------------------------------------------------------------------------
 * A symbolic link is followed only where root, or the effective user, owns it and nobody else can exchange it: the folder it is in is
 * theirs too, and writable for no others, or sticky. Any other is -EPERM, and err tells whose it is and where it leads. So nobody can lead
 * a step of root's to places that he could not reach himself. */

/* Opens the folder that holds path and tells the last part of path, which is not followed. *ret_name: caller frees. Every failure is one
 * of reaching it, also ENOENT: under a file system that is not mounted nothing can be found, and nothing is told by that. */
int io_open_parent(const char *path, int *ret_dir, char **ret_name, struct err *err);
/* The folder itself, for use with *at() (O_PATH). */
int io_open_folder(const char *path, int *ret, struct err *err);

/* A name in an open folder (O_PATH). */
struct io_place {
    int dir; /* -1: none */
    char *name;
    unsigned links; /* that were followed on the way; 0 where there is none */
};
void io_place_close(struct io_place *p);
/* As io_open_parent(), and a link at the end is followed too; what it leads to need not be there. ret is to be closed where this
 * succeeds. */
int io_open_place(const char *path, struct io_place *ret, struct err *err);
/* The path of a place, without links. NULL: it cannot be told. Caller frees. */
char *io_place_path(const struct io_place *p);
/* Where path leads, by io_open_place(). Caller frees. */
int io_real_path(const char *path, char **ret, struct err *err);

/* A descriptor, or -errno. The flags get O_NOFOLLOW, O_CLOEXEC, O_NOCTTY and O_NONBLOCK. io_open_entry() does not follow a link at the
 * end (O_PATH: the link itself is opened; else -ELOOP), io_open_file() does, as io_open_place(). Neither makes files. */
int io_open_entry(const char *path, int flags, struct err *err);
int io_open_file(const char *path, int flags, struct err *err);
/* Below an open folder, where no link is followed and no ".." leads out: -ELOOP, -EXDEV. A descriptor, or -errno. */
int io_open_beneath(int dir, const char *below, int flags);

/* Whether nobody but root, the effective user and the user `also` (0: none) can exchange what is in the open folder. */
bool io_is_kept(int dir, uid_t also);
/* Whether both lead to one folder. 0 or -errno. */
int io_same_folder(const char *a, const char *b, bool *ret);
/* The deepest folder on the way to dir (itself, if it can be) that is kept so, and every one above it. -EPERM: none is. Caller frees. */
int io_kept_folder(const char *dir, uid_t also, char **ret, struct err *err);

/* Makes the changes to the open folder (O_PATH will do) durable. */
int io_fsync_at(int dir);
/* As io_remove_tree(), of an entry of the open folder. 0 or -errno; -EXDEV: a file system is mounted below it. */
int io_remove_tree_at(int dir, const char *name);

#endif
