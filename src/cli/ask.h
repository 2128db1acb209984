/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "base/par.h"
#include <kvss/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Asks for a passphrase on the terminal, echo off; confirm: twice. *ret is malloc'd. For struct requester_config; priv is a
 * struct par_cancel *. */
int ask_passphrase(void *priv, const char *prompt, bool confirm, char **ret, struct err *err);
/* Whether there is a terminal to ask at. */
bool ask_possible(void);

/* The terminal of a person who can be asked for a decision: stdin must be one too, since a job whose stdin is a pipe or /dev/null is
 * unattended, wherever it was started. -ENOTTY: there is none. The caller closes it. */
int ask_terminal(FILE **ret, struct err *err);
/* Prints the prompt and reads a line, echo on. -ENODATA: the input has ended; -EINTR: the flag was raised. */
int ask_line(FILE *terminal, const char *prompt, char *buf, size_t size, const struct par_cancel *cancel, struct err *err);

#endif
