/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files: whole reads and writes, durable replacement, folders. Every failure names the path. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/buf.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read or write exactly n bytes, through EINTR and short counts. A read that meets the end early is -ENODATA. 0 or -errno. */
int io_read(int fd, void *p, size_t n);
int io_write(int fd, const void *p, size_t n);
int io_pread(int fd, void *p, size_t n, uint64_t off);
int io_pwrite(int fd, const void *p, size_t n, uint64_t off);

/* Whole file to buf (replacing it, data is never NULL then); -EFBIG if longer than max bytes. Symbolic links are followed. */
int io_read_file(const char *path, size_t max, struct buf *ret, struct err *err);

/* Temporary files are named so, beside their target; a crash may leave one behind. Whoever lists a folder passes them over. */
#define IO_TEMPORARY_PREFIX ".kvss-"

/* Replaces path by the bytes given, with just these mode bits: temporary file beside it, fsync, rename, fsync of the folder.
 * A crash leaves old or new. A symbolic link at path is itself replaced. */
int io_replace_file(const char *path, const void *p, size_t n, mode_t mode, struct err *err);

int io_fsync_dir(const char *path, struct err *err);
/* fsync of the folder that holds path. */
int io_fsync_parent(const char *path, struct err *err);

/* As mkdir -p; existing folders are left as they are. */
int io_mkdir_p(const char *path, mode_t mode, struct err *err);

/* Removes path and what is below it; does not follow links; absent is no error. -EXDEV: a file system is mounted below it (what
 * was found before it is gone). */
int io_remove_tree(const char *path, struct err *err);

/* unlink; absent is no error. */
int io_unlink(const char *path, struct err *err);

/* Copies the ordinary file src to the new file dst (-EEXIST if there is one): reflink if the file system can, else data only,
 * holes stay holes. dst is fsync'd, its folder is not. Nothing is left at dst on failure. */
int io_copy_file(const char *src, const char *dst, mode_t mode, struct err *err);

/* Second name for src at dst where the file system allows it (contents and mode are then shared), else a copy as above. */
int io_link_or_copy(const char *src, const char *dst, mode_t mode, struct err *err);

bool io_exists(const char *path); /* links are followed: a dangling one does not exist */

/* "dir/name"; NULL: out of memory. Caller frees. */
char *io_path(const char *dir, const char *name);
/* Folder part of path ("." or "/" where there is none) and last part. Caller frees; NULL: out of memory. */
char *io_dirname(const char *path);
char *io_basename(const char *path);
/* Where path leads through symbolic links, also where the end of them is not there; a link into a folder that is not there, or in a
 * circle, leads nowhere: it stands for itself. Caller frees; NULL: out of memory. */
char *io_follow(const char *path);

/* Whether two folders are in one file system: subvolumes of one btrfs are, though each has a device number of its own. 0 or -errno of
 * the one that cannot be looked at. */
int io_same_volume(const char *dir_a, const char *dir_b, bool *ret);
/* Whether a path is dir, or in it, by its text. */
bool io_is_below(const char *path, const char *dir);
/* What path has beyond dir: "", or from a slash on; the whole of it for "/". path is below dir. */
const char *io_beyond(const char *path, const char *dir);
/* The folder of the btrfs subvolume that holds path, if it is reached through the mount point; NULL: there is none. path has no links.
 * Caller frees. 0 or -ENOMEM. */
int io_btrfs_subvolume(const char *path, const char *mount, char **ret);
/* The text of a path as the kernel writes it in its lists of mounts ("\\040" for a blank). In place. */
void io_unescape_mount(char *s);

/* A new private folder (0700) below /run/kvss (root), $XDG_RUNTIME_DIR, $TMPDIR or /tmp, named prefix-XXXXXX. Caller frees and removes. */
int io_private_dir(const char *prefix, char **ret_path, struct err *err);

/* Free bytes for an unprivileged writer on the file system of path. */
int io_free_bytes(const char *path, uint64_t *ret, struct err *err);
/* The same, and the size of the file system. */
int io_space(const char *path, uint64_t *ret_free, uint64_t *ret_total, struct err *err);

#endif
