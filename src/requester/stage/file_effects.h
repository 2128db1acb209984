/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The requester's own effects: files staged beside their targets, and targets replaced by them. */
#ifndef REQUESTER_STAGE_FILE_EFFECTS_H
#define REQUESTER_STAGE_FILE_EFFECTS_H

#include "journal/journal.h"

#define VERB_STAGED_FILE "staged-file" /* "path": a file that we made; undo removes it */
/* "path"; "new_id": what took its place. "kept", "old_id": what was there, under its second name in the same folder, which undo puts
 * back; without them there was nothing, and path is removed. */
#define VERB_REPLACED_FILE "replaced-file"

/* "path", "path_id": an image of a VM that is moved; it stays where the restore is undone, and is removed where it is committed */
#define VERB_OLD_IMAGE "old-image"

#define VERB_MADE_FOLDER "made-folder" /* "path"; "made": its name in the same folder at first, which nobody else has */

#define VERB_MADE_VOLUME "made-volume" /* "pool", "name"; "key": by which libvirt tells it from another of that name */

#define VERB_SESSION_DIR "session-folder" /* "path": the session's private folder, with all sockets and copies in it */

/* "program", "name": a writer that is a program is in a snapshot set, and may hold its application. */
#define VERB_HOLD_WRITER "hold-writer"

/* Ends with { NULL, NULL }. */
extern const struct journal_verb requester_verbs[];

#endif
