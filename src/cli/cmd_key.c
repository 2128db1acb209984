/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/render.h"
#include <string.h>

struct key_options {
    struct requester_new_key key;
};

static const struct cli_option options[] = {
    { "new-password-file", 0, "FILE", "file whose first line is the new passphrase", offsetof(struct key_options, key.password_file),
      NULL },
    { "new-key-file", 0, "FILE", "file that contains the new key", offsetof(struct key_options, key.key_file), NULL },
    { "remove-other-keys", 0, NULL, "with rotate: remove all other keys", offsetof(struct key_options, key.remove_others), NULL },
    { NULL },
};

enum action { LIST, ADD, REMOVE, CHANGE, ROTATE, ACTIONS };

static enum action action_of(const char *word)
{
    static const char *const names[] = { [LIST] = "list", [ADD] = "add", [REMOVE] = "remove", [CHANGE] = "change", [ROTATE] = "rotate" };
    enum action i = LIST;

    while (i < ACTIONS && strcmp(names[i], word))
        i++;
    return i;
}

static void cmd_key_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct key_options *o = opts;
    enum action action = action_of(args[0]);

    (void)cli;
    if (action == ACTIONS)
        cli_usage(err, "unknown action '%s': use kvss key list, add, remove, change or rotate", args[0]);
    else if (action == REMOVE && !args[1])
        cli_usage(err, "missing argument: kvss key remove ID (kvss key list shows the IDs)");
    else if (action != REMOVE && args[1])
        cli_usage(err, "too many arguments: kvss key %s takes no ID", args[0]);
    else if (o->key.password_file && o->key.key_file)
        cli_usage(err, "--new-password-file and --new-key-file cannot be combined");
    else if ((o->key.password_file || o->key.key_file) && (action == LIST || action == REMOVE))
        cli_usage(err, "kvss key %s takes no new key", args[0]);
    else if (o->key.remove_others && action != ROTATE)
        cli_usage(err, "--remove-other-keys works only with kvss key rotate");
}

static int cmd_key_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct requester_new_key *key = &((const struct key_options *)opts)->key;

    switch (action_of(args[0])) {
    case ADD: return requester_key_add(cli->rq, key, ret, err);
    case REMOVE: return requester_key_remove(cli->rq, args[1], ret, err);
    case CHANGE: return requester_key_change(cli->rq, key, ret, err);
    case ROTATE: return requester_key_rotate(cli->rq, key, ret, err);
    default: return requester_key_list(cli->rq, ret, err);
    }
}

const struct cli_command cmd_key = {
    .name = "key",
    .args = "list|add|remove ID|change|rotate",
    .summary = "list, add, remove, change or rotate keys of the repository",
    .about = "Each key opens the repository; no data is rewritten. change adds a new key and\n"
             "removes the one that was used. rotate does the same and also creates a new\n"
             "master key: nothing written from then on can be read or forged with an old one.\n"
             "If no file for the new key is given, kvss asks for a passphrase.",
    .min_args = 1,
    .max_args = 2,
    .options = options,
    .options_size = sizeof(struct key_options),
    .usage = cmd_key_usage,
    .job = cmd_key_job,
    .render = render_key,
};
