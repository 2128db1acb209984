/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writers that are programs: each executable in a writers directory takes part in backups and restores. Event name as the only
 * argument, one JSON object on stdin, perhaps one on stdout; exit 0 ok, 1 failed (text on stderr), 2 event not handled.
 * The protocol is described in docs/writers.md. Clause M22. */
#ifndef WRITERS_COMMAND_WRITER_H
#define WRITERS_COMMAND_WRITER_H

#include "base/log.h"
#include "vss/vss.h"
#include <stdbool.h>

struct command_writers; /* the programs of one directory */

/* Looks through `dir` in order of name; an absent directory is an empty one. Files that are not executable, or writable by
 * others than their owner (root or us), are left out with a warning. Each program is asked for its identity once. */
int command_writers_load(const char *dir, const struct log *log, struct command_writers **ret, struct err *err);
void command_writers_free(struct command_writers *w);
size_t command_writers_count(const struct command_writers *w);
struct command_writer_info {
    const char *path, *name, *id;
};
struct command_writer_info command_writer_get(const struct command_writers *w, size_t i);
/* Whether the program had something to do in its last Freeze; false: there is no such writer, or it does not handle that event. */
bool command_writer_held(const struct command_writers *w, const char *id);
/* Tells a program about the session of a process that has died: abort, without components; nothing else is known of that session here. A
 * program that is not there any more, or may not be run by us, is a failure. */
int command_writer_abort(const char *path, const char *session, struct err *err);
/* Tells a program in a guest that the backup with that session has been stored: "committed", no event of VSS (docs/guests.md). */
int command_writer_committed(const char *path, const char *session, struct err *err);
/* Names of the files in `dir` that would be loaded; none of them is run. Caller frees. */
int command_writers_programs(const char *dir, char ***ret, struct err *err);
/* Registers all with the service; w must outlive it. */
int command_writers_register(struct command_writers *w, struct vss_service *service, struct err *err);

#endif
