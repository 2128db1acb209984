/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"
#include "cli/render.h"

struct init_options {
    bool no_encryption, make_parents;
    const char *version;
};

static const struct cli_option options[] = {
    { "no-encryption", 0, NULL, "store VMs readable to anyone who can read FOLDER", offsetof(struct init_options, no_encryption), NULL },
    { "make-parents", 0, NULL, "create missing parent folders too", offsetof(struct init_options, make_parents), NULL },
    { "repository-version", 0, "N", "older format for older versions of kvss: 1", offsetof(struct init_options, version), NULL },
    { NULL },
};

static void cmd_init_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct init_options *o = opts;
    uint64_t version;

    (void)cli, (void)args;
    if (o->version && num_parse_u64(o->version, 1, 1000, &version, NULL) < 0)
        cli_usage(err, "--repository-version: '%s' is not a supported version number", o->version);
}

static int cmd_init_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct init_options *o = opts;
    uint64_t version = 0;

    (void)args;
    if (o->version)
        (void)num_parse_u64(o->version, 1, 1000, &version, NULL);
    const struct requester_init job = { .no_encryption = o->no_encryption, .make_parents = o->make_parents, .version = (int)version };
    return requester_init(cli->rq, &job, ret, err);
}

const struct cli_command cmd_init = {
    .name = "init",
    .args = "",
    .summary = "create a repository",
    .about = "Creates an empty repository in the folder given as the repository. It is\n"
             "encrypted with a passphrase (from a file, the environment or the terminal) or a\n"
             "key file, unless encryption is turned off.",
    .options = options,
    .options_size = sizeof(struct init_options),
    .usage = cmd_init_usage,
    .job = cmd_init_job,
    .render = render_init,
};
