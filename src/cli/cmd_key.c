/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/render.h"
#include <string.h>

struct key_options {
    struct requester_new_key key;
};

static const struct cli_option options[] = {
    { "new-password-file", 0, "FILE", "its first line is the new passphrase",
      offsetof(struct key_options, key.password_file), NULL },
    { "new-key-file", 0, "FILE", "the file is the new key", offsetof(struct key_options, key.key_file), NULL },
    { "remove-other-keys", 0, NULL, "of rotate: remove the other keys too", offsetof(struct key_options, key.remove_others), NULL },
    { NULL },
};

enum action { LIST, ADD, REMOVE, CHANGE, ROTATE };

static int act(struct cli *cli, enum action action, const struct requester_new_key *key, const char *id, json_t **ret,
               struct err *err)
{
    switch (action) {
    case ADD:
        return requester_key_add(cli->rq, key, ret, err);
    case REMOVE:
        return requester_key_remove(cli->rq, id, ret, err);
    case CHANGE:
        return requester_key_change(cli->rq, key, ret, err);
    case ROTATE:
        return requester_key_rotate(cli->rq, key, ret, err);
    default:
        return requester_key_list(cli->rq, ret, err);
    }
}

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    static const char *const names[] = { [LIST] = "list", [ADD] = "add", [REMOVE] = "remove", [CHANGE] = "change",
                                         [ROTATE] = "rotate" };
    const struct key_options *o = opts;
    bool given = o->key.password_file || o->key.key_file;
    json_t *report = NULL;
    size_t i = 0;

    while (i < ARRAY_SIZE(names) && strcmp(names[i], args[0]))
        i++;
    if (i == ARRAY_SIZE(names))
        return cli_usage(err, "kvss key takes list, add, remove, change or rotate, not '%s'", args[0]);
    if (i == REMOVE && !args[1])
        return cli_usage(err, "kvss key remove takes the id of a key (kvss key list)");
    if (i != REMOVE && args[1])
        return cli_usage(err, "kvss key %s takes no id", args[0]);
    if (o->key.password_file && o->key.key_file)
        return cli_usage(err, "--new-password-file and --new-key-file exclude each other");
    if (given && (i == LIST || i == REMOVE))
        return cli_usage(err, "kvss key %s takes no new key", args[0]);
    if (o->key.remove_others && i != ROTATE)
        return cli_usage(err, "--remove-other-keys goes with kvss key rotate");
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = act(cli, (enum action)i, &o->key, args[1], &report, err);
    return cli_finish(cli, r, report, render_key);
}

const struct cli_command cmd_key = {
    .name = "key",
    .args = "list|add|remove ID|change|rotate",
    .summary = "list, add, remove, change or rotate keys of the repository",
    .about = "Each key opens the repository; no data is written again. change adds a new key\n"
             "and removes the one that was used; rotate does so and makes a new master key,\n"
             "so that nothing from now on can be read or forged with what was known before.\n"
             "Without a file for the new key a passphrase is asked for.",
    .min_args = 1,
    .max_args = 2,
    .options = options,
    .options_size = sizeof(struct key_options),
    .run = run,
};
