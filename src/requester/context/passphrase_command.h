/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef REQUESTER_CONTEXT_PASSPHRASE_COMMAND_H
#define REQUESTER_CONTEXT_PASSPHRASE_COMMAND_H

#include <kvss/error.h>

struct requester;

/* Words of a command line, divided by blanks; "..." and '...' keep blanks, nothing else is special. Caller frees with strv_free().
 * -EINVAL. */
int keys_command_split(const char *text, char ***ret, struct err *err);
/* Runs it; *ret: the first line that it prints, to be freed with key_wipe(). -EACCES it failed; -ETIMEDOUT; -EMSGSIZE it printed
 * too much. */
int keys_command_run(const struct requester *rq, const char *command, char **ret, struct err *err);

#endif
