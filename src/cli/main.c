/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/text.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/settings.h"
#include "cli/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <kvss/vss_codes.h>
#include <malloc.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct cli_command *const commands[] = {
    &cmd_init,   &cmd_list, &cmd_check, &cmd_backup, &cmd_show,   &cmd_restore, &cmd_verify,  &cmd_forget,   &cmd_protect, &cmd_prune,
    &cmd_copy,   &cmd_stats, &cmd_fsck, &cmd_repair, &cmd_key, &cmd_unlock, &cmd_upgrade,  &cmd_checkpoint, &cmd_recover, &cmd_watchdog,
    &cmd_keeper,
};

struct globals {
    const char *repository, *connect, *config, *password_file, *password_command, *key_file;
    bool json, verbose, quiet, help, version, accept_new_repository, accept_rollback, accept_host_keys;
};

static const struct cli_option global_options[] = {
    { "repository", 'r', "FOLDER", "the repository [KVSS_REPOSITORY]", offsetof(struct globals, repository), NULL },
    { "connect", 'c', "URI", "libvirt to talk to [KVSS_CONNECT]", offsetof(struct globals, connect), NULL },
    { "password-file", 0, "FILE", "passphrase: its first line [KVSS_PASSWORD_FILE]",
      offsetof(struct globals, password_file), NULL },
    { "password-command", 0, "COMMAND", "prints the passphrase [KVSS_PASSWORD_COMMAND]",
      offsetof(struct globals, password_command), NULL },
    { "key-file", 0, "FILE", "key instead of a passphrase [KVSS_KEY_FILE]", offsetof(struct globals, key_file),
      NULL },
    { "config", 0, "FILE", "read this kvss.conf and no other", offsetof(struct globals, config), NULL },
    { "accept-new-repository", 0, NULL, "take it for the right one, though this host knows another there",
      offsetof(struct globals, accept_new_repository), NULL },
    { "accept-rollback", 0, NULL, "take it for right that restore points are missing, or back",
      offsetof(struct globals, accept_rollback), NULL },
    { "accept-host-keys", 0, NULL, "believe hosts that sign with another key than before",
      offsetof(struct globals, accept_host_keys), NULL },
    { "json", 0, NULL, "print a report as JSON", offsetof(struct globals, json), NULL },
    { "verbose", 'v', NULL, "say each step", offsetof(struct globals, verbose), NULL },
    { "quiet", 'q', NULL, "no progress, no warnings", offsetof(struct globals, quiet), NULL },
    { "help", 'h', NULL, "help, also after a COMMAND", offsetof(struct globals, help), NULL },
    { "version", 0, NULL, "print the version", offsetof(struct globals, version), NULL },
    { NULL },
};

/* ---- Help -----------------------------------------------------------------------------------------------------------------*/

static void print_help(FILE *f)
{
    fputs("kvss: backup of libvirt's virtual machines in the manner of VSS\n\n"
          "Usage: kvss [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n", f);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!commands[i]->hidden)
            fprintf(f, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nOptions of every command:\n", f);
    options_print(global_options, f);
    fputs("\nSee kvss(1), kvss-COMMAND(1) and kvss.conf(5).\n", f);
}

static void print_command_help(const struct cli_command *c, FILE *f)
{
    fprintf(f, "kvss %s: %s\n\nUsage: kvss %s%s%s%s\n", c->name, c->summary, c->name, c->options ? " [OPTION...]" : "",
            *c->args ? " " : "", c->args);
    if (c->about)
        fprintf(f, "\n%s\n", c->about);
    if (c->options) {
        fputs("\nOptions:\n", f);
        options_print(c->options, f);
    }
    fprintf(f, "\nOptions of every command are in kvss(1); more on this one in kvss-%s(1).\n", c->name);
}

int cli_usage(struct err *err, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_set(err, EINVAL, "%s", text);
    return EXIT_USAGE;
}

static const struct cli_command *find_command(const char *name, struct err *err)
{
    const char *names[ARRAY_SIZE(commands)];

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(commands[i]->name, name))
            return commands[i];
        names[i] = commands[i]->name;
    }
    const char *like = requester_similar(name, names, ARRAY_SIZE(commands));
    if (like)
        cli_usage(err, "there is no command '%s'; did you mean '%s'?", name, like);
    else
        cli_usage(err, "there is no command '%s'; kvss --help lists them", name);
    return NULL;
}

/* ---- Surroundings of a command --------------------------------------------------------------------------------------------*/

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

static int keep(char **to, const char *value)
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
    int r = keep(&cli->passphrase, value);

    if (value)
        explicit_bzero(value, strlen(value));
    unsetenv("KVSS_PASSWORD");
    return r;
}

/* What systemd hands to a service that it starts: LoadCredential=kvss.passphrase:... or kvss.key:... . */
static int take_credential(struct settings *s, struct err *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    const struct { const char *name; char **to; } names[] = { { "kvss.passphrase", &s->password_file }, { "kvss.key", &s->key_file } };

    for (size_t i = 0; dir && *dir == '/' && i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = str_format("%s/%s", dir, names[i].name);
        if (!path)
            return err_set(err, ENOMEM, "out of memory");
        if (access(path, F_OK) == 0) {
            *names[i].to = TAKE_PTR(path);
            return 0;
        }
    }
    return 0;
}

static int collect_settings(struct cli *cli, const struct globals *g, struct err *err)
{
    struct settings *s = &cli->settings;

    if (keep(&s->repository, g->repository) < 0 || keep(&s->connect, g->connect) < 0 ||
        keep(&s->password_file, g->password_file) < 0 ||
        keep(&s->password_command, g->password_command) < 0 || keep(&s->key_file, g->key_file) < 0 ||
        take_passphrase(cli) < 0)
        return err_set(err, ENOMEM, "out of memory");
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
        .writer_copy_limit = settings_size(s->writer_copy_limit),
        .log = &cli->log,
        .cancel = &cli->cancel,
        .progress = cli->progress,
    };

    return requester_new(&c, &cli->rq, err);
}

static void cleanup(struct cli *cli)
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

int cli_code(const struct cli *cli, int r)
{
    switch (requester_end(cli->rq)) {
    case REQUESTER_REFUSED:
        return EXIT_REFUSED;
    case REQUESTER_DAMAGED:
        return EXIT_DAMAGED;
    case REQUESTER_PARTLY:
        return EXIT_PARTLY;
    case REQUESTER_INTERRUPTED:
        return EXIT_INTERRUPTED;
    default:
        return r < 0 ? EXIT_FAILED : EXIT_OK;
    }
}

int cli_finish(struct cli *cli, int r, json_t *report, render_fn *render)
{
    int code = cli_code(cli, r);

    bar_stop(TAKE_PTR(cli->bar));
    if (r < 0)
        return code;
    if (cli->json) {
        out_json(stdout, report);
    } else {
        out_clean(report);
        render(stdout, report, cli->verbose);
    }
    cli->reported = true;
    json_decref(report);
    return code;
}

static void print_error(struct cli *cli, const struct err *err)
{
    held_take(&cli->held, err, write_held, NULL);
    fputs("kvss: ", stderr);
    out_text(stderr, err->text);
    fputc('\n', stderr);
    if (!cli->json)
        return;
    char hresult[16];
    snprintf(hresult, sizeof(hresult), "0x%08x", err->hresult);
    json_t *o = json_pack("{s:{s:s, s:s, s:s}}", "error", "text", err->text, "errno", strerrorname_np(err->code), "hresult",
                          hresult);
    if (o)
        out_json(stdout, o);
    json_decref(o);
}

/* ---- main -----------------------------------------------------------------------------------------------------------------*/

static int run_with(struct cli *cli, const struct cli_command *c, struct globals *g, void *options, int argc, char **argv,
                    struct err *err)
{
    struct option_set set = { global_options, c->options, g, options };
    int first = 1;

    if (options_parse(&set, argc, argv, false, &first, err) < 0)
        return EXIT_USAGE;
    if (g->help) {
        print_command_help(c, stdout);
        return EXIT_OK;
    }
    int n = argc - first;
    if (n < c->min_args || (c->max_args >= 0 && n > c->max_args))
        return cli_usage(err, "kvss %s takes %s; see kvss %s --help", c->name, *c->args ? c->args : "no arguments", c->name);
    cli->json = g->json;
    cli->verbose = g->verbose;
    cli->quiet = g->quiet;
    cli->accept_new_repository = g->accept_new_repository;
    cli->accept_rollback = g->accept_rollback;
    cli->accept_host_keys = g->accept_host_keys;
    cli->log.max = g->quiet ? LOG_LEVEL_ERROR : g->verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
    if (collect_settings(cli, g, err) < 0)
        return EXIT_USAGE;
    return c->run(cli, options, argv + first, err);
}

static int run_command(struct cli *cli, const struct cli_command *c, struct globals *g, int argc, char **argv, struct err *err)
{
    _cleanup_free_ void *options = calloc(1, c->options_size ? c->options_size : 1);

    if (!options)
        return err_set(err, ENOMEM, "out of memory"), EXIT_FAILED;
    int code = run_with(cli, c, g, options, argc, argv, err);
    options_free(c->options, options);
    return code;
}

static int run(struct cli *cli, int argc, char **argv, struct err *err)
{
    struct globals g = { 0 };
    struct option_set set = { global_options, NULL, &g, NULL };
    int first = 1;

    if (options_parse(&set, argc, argv, true, &first, err) < 0)
        return EXIT_USAGE;
    if (g.version) {
        puts("kvss " KVSS_VERSION);
        return EXIT_OK;
    }
    if (first == argc || !strcmp(argv[first], "help")) {
        const struct cli_command *c = first + 1 < argc ? find_command(argv[first + 1], err) : NULL;
        if (first + 1 < argc && !c)
            return EXIT_USAGE;
        if (c)
            print_command_help(c, stdout);
        else if (first == argc && !g.help && g.json)
            return cli_usage(err, "no command was given; kvss --help lists them");
        else
            print_help(first == argc && !g.help ? stderr : stdout);
        return first == argc && !g.help ? EXIT_USAGE : EXIT_OK;
    }
    const struct cli_command *c = find_command(argv[first], err);
    return c ? run_command(cli, c, &g, argc - first, argv + first, err) : EXIT_USAGE;
}

static void tell_asked(void *priv)
{
    struct cli *cli = priv;

    if (isatty(STDERR_FILENO) != 1)
        return;
    bar_line(cli->bar, stderr, requester_carries_on(cli->rq) ?
             "kvss: the old VM is off already, so this goes on to its end; once more to stop at once, and have it put back" :
             "kvss: stopping, and putting back what was done; once more to stop at once");
}

/* From another thread than the one that hangs: nothing is freed. If there is a session, its watchdog puts the VMs back. */
static void end_at_once(void *priv, bool late)
{
    struct cli *cli = priv;
    struct err err = ERR_INIT;

    if (late)
        err_vss(&err, VSS_E_WRITERERROR_TIMEOUT, ETIMEDOUT,
                "guests were held for longer than is allowed, and this command did not go on: they were let go, and what it did to "
                "VMs is being put back (VSS_E_WRITERERROR_TIMEOUT)");
    else if (cli->alone)
        err_set(&err, EINTR, "interrupted again before everything was put back; nobody goes on: run kvss recover again");
    else
        err_set(&err, EINTR, "interrupted again before everything was put back; if VMs were being worked on, that goes on without "
                             "this command");
    print_error(cli, &err);
    fflush(stdout);
    _exit(late ? EXIT_FAILED : EXIT_INTERRUPTED);
}

/* What was begun without one of the standard streams must not write its report, or a warning, into a file that it opens. Opened the
 * wrong way round, so that to use it fails as if it were closed. */
static void keep_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_FAILED);
}

/* A report that is lost must not look like one that says nothing: a full disk, a closed or broken pipe. A command that printed nothing
 * needs no stdout. */
static int end_output(int code)
{
    errno = 0;
    bool lost = ferror(stdout) != 0;
    lost = fflush(stdout) != 0 || lost;
    int why = errno;
    if (!lost && close(STDOUT_FILENO) < 0) { /* NFS and quotas tell only now */
        lost = true;
        why = errno;
    }
    if (!lost)
        return code;
    fprintf(stderr, "kvss: %s: what was to be printed is lost: %s\n", code == EXIT_OK ? "the command is done, but" : "standard output",
            why ? strerror(why) : "it could not be written");
    return code == EXIT_OK ? EXIT_FAILED : code;
}

/* The data path takes and gives back blocks of megabytes all the time. Handing each to the kernel and having it cleared again costs
 * a third of a restore's time (measured). */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
}

/* Constructors of libraries use OpenSSL (libssh's, which comes with libcurl), and its allocator can be set only before. */
__attribute__((section(".preinit_array"), used)) static void (*const before_constructors)(void) = requester_use_huge_pages;

/* Where the words could not be understood: whoever wants JSON gets the failure so all the same. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--json"))
            return true;
    return false;
}

/* Keys and passphrases are in memory: no core file has them, and no other process of this user may look (ptrace, /proc/PID/mem). */
static void keep_secrets(void)
{
    struct rlimit core;

    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    (void)prctl(PR_SET_DUMPABLE, 0);
}

int main(int argc, char **argv)
{
    struct cli cli = { .held = { .lock = PTHREAD_MUTEX_INITIALIZER } };
    struct err err = ERR_INIT;

    keep_secrets();
    keep_standard_streams();
    keep_memory();
    cli.log = (struct log){ write_log, &cli, LOG_LEVEL_WARNING };
    const struct signals signals = { &cli.cancel, tell_asked, end_at_once, &cli };
    int code = signals_wait(&signals, &err) < 0 ? EXIT_FAILED : run(&cli, argc, argv, &err);
    bar_stop(TAKE_PTR(cli.bar));
    if (code == EXIT_USAGE)
        cli.json = cli.json || asks_for_json(argc, argv);
    if (err.code && !cli.reported)
        print_error(&cli, &err);
    cleanup(&cli);
    held_take(&cli.held, &(struct err)ERR_INIT, write_held, NULL);
    return end_output(code);
}
