/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose code runs as us: files that root (or we) own and nobody else can change, in folders of which the same is true all the way up. What
 * was looked at is open and is what is run, so nothing can be exchanged in between (program_call.file). */
#ifndef BASE_RUNNABLE_H
#define BASE_RUNNABLE_H

#include <kvss/error.h>
#include <stdbool.h>
#include <sys/types.h>

/* Opens the folder for reading if nobody but root and the user `also` (0: nobody else) can change what is in it. -ENOENT; -EPERM: others
 * can, and err names the folder. The caller closes *ret. */
int runnable_open_folder(const char *dir, uid_t also, int *ret, struct err *err);
struct runnable_kind {
    uid_t also;   /* who may own it beside root */
    bool program; /* it must be executable */
};
/* The file `name` of that open folder, likewise; no link. dir_path: of the folder, for errors. -ENOENT, -EPERM, -EACCES: not executable.
 * The caller closes *ret. */
int runnable_open_file(int dir, const char *dir_path, const char *name, struct runnable_kind kind, int *ret, struct err *err);
/* Both, of a whole path. */
int runnable_open(const char *path, struct runnable_kind kind, int *ret, struct err *err);
/* Names of the files that count in the open folder, in order: those that are neither hidden nor what an editor left, and (suffix not NULL)
 * end with that. None is looked at. -errno; caller frees. */
int runnable_names(int dir, const char *suffix, char ***ret);

#endif
