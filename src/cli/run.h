/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a command line: shared by main.c, run.c, setup.c and help.c. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/cli.h"

/* Options of every command. */
struct globals {
    const char *repository, *connect, *config, *password_file, *password_command, *key_file;
    bool json, verbose, quiet, help, version, accept_new_repository, accept_rollback, accept_host_keys;
};
extern const struct cli_option global_options[];

/* ---- run.c */
/* All commands, in the order of --help; ends with NULL. */
extern const struct cli_command *const cli_commands[];
/* Does what the command line says. Returns an exit code; with err set its text is to be printed. */
int cli_run(struct cli *cli, int argc, char **argv, struct err *err);
/* On stderr, and with --json as a document. */
void cli_print_error(struct cli *cli, const struct err *err);

/* ---- setup.c */
void cli_log_start(struct cli *cli);
/* Errors that were logged and not told since. */
void cli_log_held(struct cli *cli, const struct err *told);
/* From options, environment and kvss.conf, the first that sets a value wins. */
int cli_settings(struct cli *cli, const struct globals *g, struct err *err);
void cli_cleanup(struct cli *cli);

/* ---- help.c */
void help_print(FILE *f);
void help_print_command(const struct cli_command *c, FILE *f);

#endif
