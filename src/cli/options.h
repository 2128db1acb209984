/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line: tables of options, getopt_long(), help. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/cli.h"

/* Two tables at once: those of every command and those of one. */
struct option_set {
    const struct cli_option *global, *own; /* end with a NULL name; own may be NULL */
    void *global_to, *own_to;              /* what their offsets are in */
};
/* Parses argv[1..]. stop_early: up to the first word that is no option. *ret_index: of the first word left (options are moved to
 * the front). err: wrong use, with what was perhaps meant. */
int options_parse(const struct option_set *set, int argc, char **argv, bool stop_early, int *ret_index, struct err *err);
/* Frees the lists in `to`. */
void options_free(const struct cli_option *options, void *to);
void options_print(const struct cli_option *options, FILE *f);
/* Whether value is one of the words of "a|b|c". */
bool choice_has(const char *choices, const char *value);

#endif
