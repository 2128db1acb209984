/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The requester's own effects: files staged beside their targets, and targets replaced by them. */
#ifndef REQUESTER_EFFECTS_H
#define REQUESTER_EFFECTS_H

#include "journal/journal.h"

#define VERB_STAGED_FILE "staged-file"     /* "path": a file that we made; undo removes it */
#define VERB_REPLACED_FILE "replaced-file" /* "path", "kept": undo puts `kept` back as path; without one, path is removed */

#define VERB_MADE_FOLDER "made-folder"     /* "path", "top": folders from top down to path were made; undo removes those that are empty */

#define VERB_MADE_VOLUME "made-volume"     /* "pool", "name": a volume that we made; undo deletes it */

#define VERB_SESSION_DIR "session-folder"   /* "path": the session's private folder, with all sockets and copies in it */

/* Ends with { NULL, NULL }. */
extern const struct journal_verb requester_verbs[];

#endif
