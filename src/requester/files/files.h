/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of components whose writer is a program: which they are now, and their way into a restore point and back. */
#ifndef REQUESTER_FILES_FILES_H
#define REQUESTER_FILES_FILES_H

#include "base/par.h"
#include "base/rate.h"
#include "requester/stage/stage.h"
#include "store/store.h"
#include "vss/vss.h"
#include <jansson.h>
#include <kvss/error.h>
#include <stdbool.h>
#include <sys/stat.h>

struct file_entry {
    char *path; /* where it belongs */
    char *from; /* where it is read (a file set with an alternate path); NULL: at path */
    char *link; /* where a symbolic link led while its writer was held; NULL: look now */
    struct stat st;
    uint64_t off;    /* of its content in the image */
    const int *held; /* a descriptor that has its content, at `off`, as it was while its writer was held; NULL: read the file itself */
};
struct file_list {
    size_t n, cap;
    struct file_entry *entries; /* sorted by path, each path once; folders come before what is in them */
    /* Sockets, pipes and devices among them, which have no content: taken out by files_sort(), which counts them. */
    size_t n_special;
    char *special; /* the first of them; NULL: none */
};
#define FILE_LIST_INIT \
    {                  \
        0              \
    }
#define FILES_NO_WRITER "or skip the writer (--no-writers, or --writer with the names of others)"
/* Of a symbolic link that is open itself (O_PATH). -EILSEQ as files_find(). Caller frees. */
int files_read_link(int fd, const char *path, char **ret, struct err *err);
void file_list_clear(struct file_list *l);
#define _cleanup_file_list_ _cleanup_(file_list_clear)

/* Where files are read that are in a shadow copy. */
struct files_place {
    char *path;          /* of the folder of a file set, as its writer names it */
    char *volume, *rest; /* the volume that it is on, and where on it ("/srv/data", or "") */
    char *from;          /* the same folder in the shadow copy; NULL: not known yet */
    dev_t dev;           /* of the volume */
};
struct files_places {
    size_t n;
    struct files_place *list;
};
#define FILES_SUBVOLUME 256u     /* inode of the folder of a btrfs subvolume (BTRFS_FIRST_FREE_OBJECTID) */
#define FILES_EMPTY_SUBVOLUME 2u /* inode of what stands in a btrfs snapshot for a subvolume below (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID) */
/* Its length without slashes at the end. */
size_t files_path_len(const char *path);
void files_places_clear(struct files_places *p);
/* Where the path is read: below the place that it is in; itself, if it is in none. Caller frees; NULL: out of memory. */
char *files_place(const struct files_places *p, const char *path);

/* Adds the files of the component as they are now (behaviour 4), and the folders below its recursive file sets; with places, as they are
 * there. To be sorted next. -EILSEQ: a name, or what a symbolic link holds, is not UTF-8 and could not be stored; err names it and the
 * remedy. */
int files_find(const struct vss_writer_info *w, size_t component, const struct files_places *places, struct file_list *l, struct err *err);
void files_sort(struct file_list *l);

struct files_job {
    size_t number;                   /* of the component among those with files */
    const struct par_cancel *cancel; /* may be NULL */
    struct rate *rate;               /* of reading them; NULL: no limit */
    bool only_new;                   /* of files_stage(): nothing that is there is replaced */
    json_t *set_ids; /* an array that is told the files with set-id bits: { "path", "mode", "kept" }; NULL: nobody wants to know */
};
/* Writes contents and index into the point. *ret_size: bytes of content; *ret_stats: of the image. */
int files_save(struct store *store, struct store_writer *w, struct file_list *l, const struct files_job *job, uint64_t *ret_size,
               struct store_stats *ret_stats, struct err *err);

/* Absolute, without empty parts, "." and "..". */
bool files_plain_path(const char *path);
/* Reads an index, every entry checked: { "writer", "logical_path", "component",
 *   "files": [ { "path", "type": "file|folder|link", "mode", "uid", "gid", "mtime": SECONDS, "mtime_ns", "size", "off",
 *                "link" } ] } */
int files_index(struct store_point *p, size_t number, json_t **ret, struct err *err);
/* Makes missing folders, and files and links beside their places, in the stage's group `group`. */
int files_stage(struct store_point *p, const json_t *index, const struct files_job *job, struct stage *stage, const char *group,
                struct err *err);
/* When the files are in place: owners and modes of the folders that were made, times of all. */
int files_finish_folders(const json_t *index, struct stage *stage, const char *group, struct err *err);

/* The rest of what other folders see of this one. */
#include "requester/files/files_hold.h"

#endif
