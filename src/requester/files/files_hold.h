/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of writers' files that are made while the writers are held, between Freeze and Thaw: blocks are shared with the originals where
 * the file system can (reflink), which takes no time and no room; else they are copied, within limits. The copies have no names, so
 * nothing is left of them however the session ends. */
#ifndef REQUESTER_FILES_FILES_HOLD_H
#define REQUESTER_FILES_FILES_HOLD_H

#include "requester/files/files.h"

#define FILES_HOLD_BYTES (2ull << 30) /* what is copied at most, unless another limit is set */

struct files_hold_config {
    uint64_t max_bytes;              /* of all that is copied, not shared; 0: FILES_HOLD_BYTES */
    uint64_t reserve;                /* what has to stay free where copies lie */
    unsigned max_ms;                 /* for how long it may take */
    const char *dir;                 /* where copies lie */
    const struct par_cancel *cancel; /* may be NULL */
};

enum held_how { HELD_SHARED, HELD_COPIED, HELD_HOWS };

/* The files of a component, and of those in its component set. */
struct held_files {
    const struct vss_writer_info *writer;
    size_t component;
    struct file_list files;     /* sorted, each with `held`, once they were taken */
    struct files_places shadow; /* where they are read, if not held: in shadow copies. n 0: they are copied while they are held */
    int fd[HELD_HOWS];          /* of the copies; -1: none. Each file is at its offset, laid out in chunks */
    uint64_t end;
};

struct files_hold;
int files_hold_new(const struct files_hold_config *config, struct files_hold **ret, struct err *err);
void files_hold_free(void *hold); /* NULL is fine */
/* chunk: each file begins at a multiple of it. The metadata must outlive the hold. */
int files_hold_add(struct files_hold *h, const struct vss_writer_info *w, size_t component, uint64_t chunk, struct err *err);
/* Before anything is touched: -EFBIG, -ENOSPC where the files, as they are now, are too many to be copied; -EILSEQ where a name cannot be
 * stored; err names the component and the remedy. */
int files_hold_check(struct files_hold *h, struct err *err);
/* Which components need no copies, since all of their files are on volumes of which there will be shadow copies. */
struct files_volumes {
    /* The volume of a path without links, if files on it will be found in its shadow copy; else *ret_volume is NULL. Caller frees. */
    int (*find)(void *priv, const char *path, char **ret_volume, struct err *err);
    /* Where the shadow copy of the volume is. NULL: there is none. */
    const char *(*device)(void *priv, const char *volume);
    void *priv;
};
int files_shadow_plan(struct files_hold *h, const struct files_volumes *volumes, struct err *err);
/* Finds the files of one that was so planned in the shadow copies, while these are there. */
int files_shadow_find(struct held_files *c, const struct files_volumes *volumes, struct err *err);
/* While their writers are held. All or nothing. */
int files_hold_take(void *hold, struct err *err);
void files_hold_stop(void *hold); /* from any thread: a take that is under way ends soon */
/* NULL: not added. */
struct held_files *files_hold_get(struct files_hold *h, const struct vss_writer_info *w, size_t component);
struct held_files *files_hold_at(struct files_hold *h, size_t i); /* one after the other; NULL: there are no more */
/* Its files, sorted. places: NULL, where they are. */
int held_find(const struct held_files *c, const struct files_places *places, struct file_list *files, struct err *err);
void held_name(const struct held_files *c, struct err *err); /* puts writer and component before the message */
void held_drop(struct held_files *h);                        /* its copies and its list, when they are stored */

#endif
