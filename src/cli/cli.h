/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command kvss: a table of commands, one file each, listed in meson.build. Only this folder prints and knows a terminal. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/held.h"
#include "requester/requester.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit codes, documented in kvss(1). */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2, /* also a wrong configuration */
    EXIT_REFUSED = 3,
    EXIT_DAMAGED = 4,
    EXIT_PARTLY = 5, /* done, but for VMs that failed and were to be left out then */
    EXIT_SOME = 6,   /* one restore point for each VM, but for some that failed */
    EXIT_INTERRUPTED = 130,
};

/* A section [vm NAME] of kvss.conf: what is set for one VM. */
struct vm_settings {
    char *vm, *method, *require, *fallback, *exclude_disk;
};

/* A section [set NAME]: VMs that are backed up together. */
struct set_settings {
    char *name, *vms, *tags, *exclude;
};

/* What may be set by option, environment and configuration file; the first that sets a value wins. Strings are owned. */
struct settings {
    char *repository, *connect, *password_file, *key_file, *password_command, *key_memory, *writers_dir, *snapshot_dir, *save_dir,
        *agent_timeout, *freeze_limit, *method, *require, *fallback, *live_state, *provider, *keep_copies, *retries, *compression, *bwlimit,
        *scratch_reserve, *scratch_limit, *on_failure, *writer_copy_limit, *wait, *exclude, *exclude_disk, *encryption, *prune_grace,
        *restore_paths, *providers_dir, *provider_objects_dir;
    size_t n_vms;
    struct vm_settings *vms;
    size_t n_sets;
    struct set_settings *sets;
};

struct bar;

struct cli {
    struct settings settings;
    char *passphrase; /* from the environment; wiped */
    bool json, verbose, quiet, accept_new_repository, accept_rollback, accept_host_keys;
    const char *config_file;
    struct log log;
    struct par_cancel cancel; /* raised by SIGINT, SIGTERM, SIGHUP */
    struct progress *progress;
    struct bar *bar;      /* NULL: none is shown */
    struct requester *rq; /* ready when a command runs */
    struct held held;     /* errors that were logged */
    bool alone;           /* no watchdog goes on when it ends at once */
    bool reported;        /* the report is printed: nothing more is, so that --json is one document */
};

/* One option of the command line. The table is also what --help prints. */
struct cli_option {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* what --help calls its value, "[VALUE]" if it may be missing (then it is ""); NULL: a flag */
    const char *help;
    size_t offset;       /* of a bool (flag) or const char * in the struct that is filled */
    const char *choices; /* "auto|child|saved-state"; NULL: any text */
    bool list;           /* may come several times: the offset is of a char ** (NULL-terminated; values are copied) */
};

typedef void render_fn(FILE *f, const json_t *report, bool verbose);

struct cli_command {
    const char *name;
    const char *args;                 /* "POINT [VM...]" */
    const char *summary;              /* one line, no full stop */
    const char *about;                /* more for --help; may be NULL */
    bool hidden;                      /* not for people: in no list */
    int min_args, max_args;           /* max_args -1: any number */
    const struct cli_option *options; /* ends with a NULL name; may be NULL */
    size_t options_size;
    /* What nearly all commands are. usage (may be NULL): nothing has been opened yet; err set: wrong use. Then job makes a report, 0 or
     * -errno, and render prints it (or it is printed as JSON). options: zeroed struct of options_size, filled. args: NULL-terminated. */
    void (*usage)(struct cli *cli, const void *options, char **args, struct err *err);
    int (*job)(struct cli *cli, const void *options, char **args, json_t **ret, struct err *err);
    render_fn *render;
    /* Instead of these, a command that is more than one job. Returns an exit code; with err set the text is printed. */
    int (*run)(struct cli *cli, const void *options, char **args, struct err *err);
};

/* Makes the requester ready, from the settings; commands may have set some of those from their options. */
int cli_prepare(struct cli *cli, struct err *err);

/* How a job that has ended with r ends the command. */
int cli_code(const struct cli *cli, int r);

/* Prints the report of a job (r < 0: none) as JSON, or through `render`, and says how the command ends. Takes over report. */
int cli_finish(struct cli *cli, int r, json_t *report, render_fn *render);

/* For how long to wait, in ms: of the option (NULL: not given; "": for ever) or else of kvss.conf. -EINVAL. */
int cli_wait(const struct cli *cli, const char *option, uint64_t *ret_ms, struct err *err);

/* Wrong use: err is set, the exit code returned. */
__attribute__((format(printf, 2, 3))) int cli_usage(struct err *err, const char *fmt, ...);

#endif
