/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"
#include "cli/render.h"

struct init_options {
    bool no_encryption, make_parents;
    const char *version;
};

static const struct cli_option options[] = {
    { "no-encryption", 0, NULL, "anyone who can read the folder can read the VMs", offsetof(struct init_options, no_encryption),
      NULL },
    { "make-parents", 0, NULL, "make the folders above it too, if missing", offsetof(struct init_options, make_parents), NULL },
    { "repository-version", 0, "N", "an older format, for older versions of kvss: 1",
      offsetof(struct init_options, version), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct init_options *o = opts;
    uint64_t version = 0;
    json_t *report = NULL;

    (void)args;
    if (o->version && num_parse_u64(o->version, 1, 1000, &version, NULL) < 0)
        return cli_usage(err, "--repository-version takes the number of a version, not '%s'", o->version);
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    const struct requester_init job = { .no_encryption = o->no_encryption, .make_parents = o->make_parents, .version = (int)version };
    r = requester_init(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_init);
}

const struct cli_command cmd_init = {
    .name = "init",
    .args = "",
    .summary = "make a repository",
    .about = "Makes an empty repository in the folder that is named as the repository. It\n"
             "is encrypted, with a passphrase (from a file, the environment or asked for)\n"
             "or a key file, unless encryption is switched off.",
    .options = options,
    .options_size = sizeof(struct init_options),
    .run = run,
};
