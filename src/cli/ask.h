/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <kvss/error.h>
#include <stdbool.h>

/* Asks for a passphrase on the terminal, echo off; confirm: twice. *ret is malloc'd. For struct requester_config; priv is a
 * struct par_cancel *. */
int ask_passphrase(void *priv, const char *prompt, bool confirm, char **ret, struct err *err);
/* Whether there is a terminal to ask at. */
bool ask_possible(void);

#endif
