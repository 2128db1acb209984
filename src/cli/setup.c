/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The surroundings of a command: its settings, its log, the requester. */
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/out.h"
#include "cli/run.h"
#include "cli/settings.h"
#include "base/buf.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void write_log(void *priv, enum log_level level, const char *line)
{
    static const char *const names[] = { "error: ", "warning: ", "", "" };
    struct cli *cli = priv;
    char text[KVSS_ERR_TEXT_MAX + 64];

    if (level == LOG_LEVEL_ERROR && !cli->verbose && held_add(&cli->held, line) >= 0)
        return;
    snprintf(text, sizeof(text), "kvss: %s%s", names[level], line);
    text_clean(text, true);
    bar_line(cli->bar, stderr, text);
}

static void write_held(void *priv, const char *line)
{
    fputs("kvss: error: ", stderr);
    out_text(stderr, line);
    fputc('\n', stderr);
    (void)priv;
}

void cli_log_start(struct cli *cli)
{
    cli->log = (struct log){ write_log, cli, LOG_LEVEL_WARNING };
}

void cli_log_held(struct cli *cli, const struct err *told)
{
    held_take(&cli->held, told, write_held, NULL);
}

static int setup_keep(char **to, const char *value)
{
    if (!value)
        return 0;
    *to = strdup(value);
    return *to ? 0 : -ENOMEM;
}

/* Out of our environment, which other processes of this user can read, and which every child would inherit. */
static int take_passphrase(struct cli *cli)
{
    char *value = getenv("KVSS_PASSWORD");
    int r = setup_keep(&cli->passphrase, value);

    if (value)
        explicit_bzero(value, strlen(value));
    unsetenv("KVSS_PASSWORD");
    return r;
}

/* What systemd hands to a service that it starts: LoadCredential=kvss.passphrase:... or kvss.key:... . */
static int take_credential(struct settings *s, struct err *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    const struct {
        const char *name;
        char **to;
    } names[] = { { "kvss.passphrase", &s->password_file }, { "kvss.key", &s->key_file } };

    for (size_t i = 0; dir && *dir == '/' && i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = str_format("%s/%s", dir, names[i].name);
        if (!path)
            return err_nomem(err);
        if (access(path, F_OK) == 0) {
            *names[i].to = TAKE_PTR(path);
            return 0;
        }
    }
    return 0;
}

int cli_settings(struct cli *cli, const struct globals *g, struct err *err)
{
    struct settings *s = &cli->settings;

    if (setup_keep(&s->repository, g->repository) < 0 || setup_keep(&s->connect, g->connect) < 0 ||
        setup_keep(&s->password_file, g->password_file) < 0 || setup_keep(&s->password_command, g->password_command) < 0 ||
        setup_keep(&s->key_file, g->key_file) < 0 || take_passphrase(cli) < 0)
        return err_nomem(err);
    /* What is named by options or in the environment goes before what kvss.conf names, of whatever kind. */
    int r = settings_from_env(s, err);
    char **const sources[] = { &s->password_file, &s->key_file, &s->password_command };
    bool named[ARRAY_SIZE(sources)], any = cli->passphrase != NULL;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        any |= named[i] = *sources[i] != NULL;
    if (r >= 0)
        r = settings_check(s, "environment", err);
    if (r >= 0)
        r = g->config ? settings_from_file(g->config, s, err) : settings_from_files(s, err);
    if (r == -ENOENT)
        return err_set(err, ENOENT, "cannot read %s: No such file or directory", g->config);
    for (size_t i = 0; any && i < ARRAY_SIZE(sources); i++)
        if (!named[i])
            free(TAKE_PTR(*sources[i]));
    return r < 0 || any || *sources[0] || *sources[1] || *sources[2] ? r : take_credential(s, err);
}

/* Of a number of seconds that was checked; 0 for none. */
static unsigned milliseconds(const char *seconds)
{
    return seconds ? (unsigned)strtoul(seconds, NULL, 10) * 1000 : 0;
}

/* Its setting is checked already. */
static int compression_level(const char *setting)
{
    return !setting ? 0 : !strcmp(setting, "none") ? -1 : (int)strtol(setting, NULL, 10);
}

static int make_requester(struct cli *cli, struct err *err)
{
    const struct settings *s = &cli->settings;
    struct requester_config c = {
        .repository = s->repository,
        .uri = s->connect,
        .password_file = s->password_file,
        .key_file = s->key_file,
        .password_command = s->password_command,
        .key_memory = settings_size(s->key_memory),
        .passphrase = cli->passphrase,
        .ask = ask_possible() ? ask_passphrase : NULL,
        .ask_priv = &cli->cancel,
        .writers_dir = s->writers_dir,
        .providers_dir = s->providers_dir,
        .provider_objects_dir = s->provider_objects_dir,
        .save_dir = s->save_dir,
        .snapshot_dir = s->snapshot_dir,
        .agent_timeout_ms = milliseconds(s->agent_timeout),
        .freeze_limit_ms = milliseconds(s->freeze_limit),
        .compression = compression_level(s->compression),
        .prune_grace_s = settings_duration(s->prune_grace),
        .encryption_required = s->encryption && !strcmp(s->encryption, "required"),
        .accept_new_repository = cli->accept_new_repository,
        .accept_rollback = cli->accept_rollback,
        .accept_host_keys = cli->accept_host_keys,
        .scratch_reserve = settings_size(s->scratch_reserve),
        .scratch_limit = settings_size(s->scratch_limit),
        .keep_copies = s->keep_copies && !strcmp(s->keep_copies, "yes"),
        .writer_copy_limit = settings_size(s->writer_copy_limit),
        .log = &cli->log,
        .cancel = &cli->cancel,
        .progress = cli->progress,
    };

    return requester_new(&c, &cli->rq, err);
}

void cli_cleanup(struct cli *cli)
{
    bar_stop(TAKE_PTR(cli->bar));
    requester_free(cli->rq);
    progress_free(cli->progress);
    settings_clear(&cli->settings);
    if (cli->passphrase)
        explicit_bzero(cli->passphrase, strlen(cli->passphrase));
    free(cli->passphrase);
}

int cli_prepare(struct cli *cli, struct err *err)
{
    int r = settings_check(&cli->settings, "command line", err);

    if (r >= 0)
        r = progress_new(&cli->progress, err);
    if (r >= 0)
        r = make_requester(cli, err);
    if (r >= 0 && !cli->quiet)
        cli->bar = bar_start(cli->progress, stderr, isatty(STDERR_FILENO) == 1);
    return r;
}
