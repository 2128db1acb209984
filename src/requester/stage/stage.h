/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files made beside their targets and renamed in together: until all of them are whole, every old file is in its place; until the
 * job has succeeded, every old file can come back. Each step is an effect in the journal (effects.h). */
#ifndef REQUESTER_STAGE_STAGE_H
#define REQUESTER_STAGE_STAGE_H

#include "base/cleanup.h"
#include "journal/journal.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stage;
int stage_new(struct journal *j, struct stage **ret, struct err *err);
void stage_free(struct stage *s); /* undoes nothing: that is the journal's; NULL is fine */
DEFINE_CLEANUP(struct stage *, stage_free)

enum stage_flags {
    STAGE_NOFOLLOW = 1,   /* a symbolic link at the target is itself replaced; else what it points to is meant */
    STAGE_MAY_CHANGE = 2, /* its owner may replace the target until the swap: else what is there then must be what is there now */
    STAGE_NEW = 4,        /* nothing may be there */
};
/* Names the file to make for `target`, which need not exist, and keeps in mind which folder it is in and what is there now. A target that
 * cannot be looked at is not taken for one that does not exist. -EEXIST: STAGE_NEW. *ret_path lives as long as the stage. group: as in
 * the journal. */
int stage_add(struct stage *s, const char *group, const char *target, unsigned flags, const char **ret_path, struct err *err);
/* Makes the file of that name: new, empty, its mode 0600, in the folder that it was; or a symbolic link. What is at its place at the swap
 * must be this. *ret_fd, which the caller closes: open for reading and writing; the link itself (O_PATH). */
int stage_create(struct stage *s, const char *made, int *ret_fd, struct err *err);
int stage_link(struct stage *s, const char *made, const char *target, int *ret_fd, struct err *err);
/* Whether it is in a folder of root's, where nobody else may write. */
bool stage_in_roots_folder(struct stage *s, const char *made);
/* The file of that name is whole. */
int stage_made(struct stage *s, const char *path, struct err *err);
/* Makes the folders on the way to dir, and dir, that are not there. */
int stage_folder(struct stage *s, const char *group, const char *dir, mode_t mode, struct err *err);
/* fn is handed each folder that was made for the group, open for reading, last first; those that were there are nobody's business. */
int stage_each_folder(struct stage *s, const char *group, int (*fn)(void *priv, const char *path, int fd, struct err *err), void *priv,
                      struct err *err);
/* Renames everything made for the group into place. -ESTALE: a folder is not the one that it was; -EEXIST: something else is at a target;
 * it is left alone. */
int stage_swap(struct stage *s, const char *group, struct err *err);
/* The group's result stands (journal_commit()): its old files go. A failure is only worth a warning, as what could not be removed stays in
 * the journal; the first is returned. */
int stage_finish(struct stage *s, const char *group, struct err *err);

/* The rest of what other folders see of this one. */
#include "requester/stage/file_effects.h"
#include "requester/stage/service.h"
#include "base/owner.h"

#endif
