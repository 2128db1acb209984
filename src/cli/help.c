/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --help, from the tables of commands and options. */
#include "cli/options.h"
#include "cli/run.h"

const struct cli_option global_options[] = {
    { "repository", 'r', "FOLDER", "repository folder [KVSS_REPOSITORY]", offsetof(struct globals, repository), NULL },
    { "connect", 'c', "URI", "libvirt connection URI [KVSS_CONNECT]", offsetof(struct globals, connect), NULL },
    { "password-file", 0, "FILE", "file with the passphrase [KVSS_PASSWORD_FILE]", offsetof(struct globals, password_file), NULL },
    { "password-command", 0, "COMMAND", "prints the passphrase [KVSS_PASSWORD_COMMAND]", offsetof(struct globals, password_command), NULL },
    { "key-file", 0, "FILE", "key file, no passphrase [KVSS_KEY_FILE]", offsetof(struct globals, key_file), NULL },
    { "config", 0, "FILE", "read only this configuration file", offsetof(struct globals, config), NULL },
    { "accept-new-repository", 0, NULL, "accept that this is not the repository that was known here",
      offsetof(struct globals, accept_new_repository), NULL },
    { "accept-rollback", 0, NULL, "accept that restore points are missing or have reappeared", offsetof(struct globals, accept_rollback),
      NULL },
    { "accept-host-keys", 0, NULL, "accept new signing keys of known hosts", offsetof(struct globals, accept_host_keys), NULL },
    { "json", 0, NULL, "print the report as JSON", offsetof(struct globals, json), NULL },
    { "verbose", 'v', NULL, "show each step", offsetof(struct globals, verbose), NULL },
    { "quiet", 'q', NULL, "no progress, no warnings", offsetof(struct globals, quiet), NULL },
    { "help", 'h', NULL, "show help, also after a COMMAND", offsetof(struct globals, help), NULL },
    { "version", 0, NULL, "show the version", offsetof(struct globals, version), NULL },
    { NULL },
};

void help_print(FILE *f)
{
    fputs("kvss: consistent, incremental backup and restore of libvirt/QEMU virtual machines\n\n"
          "Usage: kvss [OPTION...] COMMAND [ARGUMENT...]\n\n"
          "Commands:\n",
          f);
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        if (!(*c)->hidden)
            fprintf(f, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs("\nGlobal options:\n", f);
    options_print(global_options, f);
    fputs("\nSee kvss(1), kvss-COMMAND(1) and kvss.conf(5).\n", f);
}

void help_print_command(const struct cli_command *c, FILE *f)
{
    fprintf(f, "kvss %s: %s\n\nUsage: kvss %s%s%s%s\n", c->name, c->summary, c->name, c->options ? " [OPTION...]" : "", *c->args ? " " : "",
            c->args);
    if (c->about)
        fprintf(f, "\n%s\n", c->about);
    if (c->options) {
        fputs("\nOptions:\n", f);
        options_print(c->options, f);
    }
    fprintf(f, "\nGlobal options are described in kvss(1), this command in kvss-%s(1).\n", c->name);
}
