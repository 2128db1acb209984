/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss.conf and the environment. */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli/cli.h"

/* Each sets only what is not set yet. */
int settings_from_env(struct settings *s, struct err *err);
/* -ENOENT: no such file, err untouched. Unknown names and bad values are errors "FILE:LINE: ...". */
int settings_from_file(const char *path, struct settings *s, struct err *err);
/* The user's file, then the system's; those that are absent are passed over. */
int settings_from_files(struct settings *s, struct err *err);
/* What a value must be, whoever set it. `where` begins the error. */
int settings_check(const struct settings *s, const char *where, struct err *err);
/* What an option says goes before environment and kvss.conf; NULL: it says nothing. -ENOMEM. */
int settings_put_first(char **setting, const char *value);
/* The words of a value, between blanks, added to *ret. -ENOMEM; caller frees, also then. */
int settings_words(const char *value, char ***ret);
/* Whether it is VM:DISK, neither empty. */
bool settings_is_disk(const char *word);
/* A size in bytes, of a value that was checked; 0 for NULL. */
uint64_t settings_size(const char *value);
/* Seconds of a time like "24h"; -1: none ("0"); 0: it is not one, or NULL. */
int64_t settings_duration(const char *value);
void settings_clear(struct settings *s);

#endif
