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
    { "to", 0, "FOLDER", "the repository to copy to", offsetof(struct copy_options, to), NULL },
    { "to-password-file", 0, "FILE", "its passphrase", offsetof(struct copy_options, password_file), NULL },
    { "to-key-file", 0, "FILE", "its key", offsetof(struct copy_options, key_file), NULL },
    { "to-no-encryption", 0, NULL, "it is not encrypted", offsetof(struct copy_options, no_encryption), NULL },
    { "all", 'a', NULL, "all restore points", offsetof(struct copy_options, all), NULL },
    { "compression", 0, "LEVEL", "of zstd, 1 (default) to 19, or none", offsetof(struct copy_options, compression), NULL },
    { NULL },
};

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct copy_options *o = opts;
    json_t *report = NULL;

    if (!o->to)
        return cli_usage(err, "--to FOLDER says where to copy to");
    if (o->all == (*args != NULL))
        return cli_usage(err, "name the restore points, or give --all for all of them");
    if (o->no_encryption && (o->password_file || o->key_file))
        return cli_usage(err, "--to-no-encryption and a key for the target exclude each other");
    if (settings_put_first(&cli->settings.compression, o->compression) < 0)
        return err_set(err, ENOMEM, "out of memory"), EXIT_FAILED;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    const struct requester_copy job = { .points = o->all ? NULL : args, .to = o->to, .password_file = o->password_file,
                                        .key_file = o->key_file, .no_encryption = o->no_encryption };
    r = requester_copy(cli->rq, &job, &report, err);
    return cli_finish(cli, r, report, render_copy);
}

const struct cli_command cmd_copy = {
    .name = "copy",
    .args = "POINT...|--all",
    .summary = "copy restore points to another repository",
    .about = "Only what the other repository lacks is read and written; everything is verified\n"
             "on the way. Unless told otherwise it is opened with the same key as this one.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct copy_options),
    .run = run,
};
