/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/render.h"
#include "cli/settings.h"
#include <errno.h>

struct copy_options {
    const char *to, *password_file, *key_file, *compression;
    bool no_encryption, all;
};

static const struct cli_option options[] = {
    { "to", 0, "FOLDER", "repository to copy to", offsetof(struct copy_options, to), NULL },
    { "to-password-file", 0, "FILE", "passphrase file of the target repository", offsetof(struct copy_options, password_file), NULL },
    { "to-key-file", 0, "FILE", "key file of the target repository", offsetof(struct copy_options, key_file), NULL },
    { "to-no-encryption", 0, NULL, "the target repository is not encrypted", offsetof(struct copy_options, no_encryption), NULL },
    { "all", 'a', NULL, "all restore points", offsetof(struct copy_options, all), NULL },
    { "compression", 0, "LEVEL", "zstd level, 1 (default) to 19, or none", offsetof(struct copy_options, compression), NULL },
    { NULL },
};

static void cmd_copy_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct copy_options *o = opts;

    if (!o->to)
        cli_usage(err, "missing option: --to FOLDER, the repository to copy to");
    else if (o->all == (*args != NULL))
        cli_usage(err, "nothing to copy: name the restore points, or use --all");
    else if (o->no_encryption && (o->password_file || o->key_file))
        cli_usage(err, "--to-no-encryption cannot be combined with a key for the target");
    else if (settings_put_first(&cli->settings.compression, o->compression) < 0)
        err_nomem(err);
}

static int cmd_copy_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct copy_options *o = opts;
    const struct requester_copy job = { .points = o->all ? NULL : args,
                                        .to = o->to,
                                        .password_file = o->password_file,
                                        .key_file = o->key_file,
                                        .no_encryption = o->no_encryption };

    return requester_copy(cli->rq, &job, ret, err);
}

const struct cli_command cmd_copy = {
    .name = "copy",
    .args = "POINT...|--all",
    .summary = "copy restore points to another repository",
    .about = "Reads and writes only the data that the target repository lacks, and verifies\n"
             "all of it on the way. The target is opened with the same key as the source\n"
             "unless another key is given for it.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct copy_options),
    .usage = cmd_copy_usage,
    .job = cmd_copy_job,
    .render = render_copy,
};
