/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a command line to a command, and from its job to what is printed. */
#include "cli/run.h"
#include "base/text.h"
#include "cli/bar.h"
#include "cli/options.h"
#include "cli/out.h"
#include <errno.h>
#include <string.h>

/* Made from the list in meson.build. */
#define COMMAND(name) extern const struct cli_command cmd_##name;
#include "cli/commands.h"
#undef COMMAND
#define COMMAND(name) &cmd_##name,
const struct cli_command *const cli_commands[] = {
#include "cli/commands.h"
    NULL,
};

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
    const char *names[ARRAY_SIZE(cli_commands)];
    size_t n = 0;

    for (; cli_commands[n]; n++) {
        if (!strcmp(cli_commands[n]->name, name))
            return cli_commands[n];
        names[n] = cli_commands[n]->name;
    }
    const char *like = text_similar(name, names, n);
    if (like)
        cli_usage(err, "unknown command '%s'; did you mean '%s'?", name, like);
    else
        cli_usage(err, "unknown command '%s'; kvss --help lists the commands", name);
    return NULL;
}

int cli_code(const struct cli *cli, int r)
{
    switch (requester_end(cli->rq)) {
    case REQUESTER_REFUSED: return EXIT_REFUSED;
    case REQUESTER_DAMAGED: return EXIT_DAMAGED;
    case REQUESTER_PARTLY: return EXIT_PARTLY;
    case REQUESTER_SOME: return EXIT_SOME;
    case REQUESTER_FAILED: return EXIT_FAILED;
    case REQUESTER_INTERRUPTED: return EXIT_INTERRUPTED;
    default: return r < 0 ? EXIT_FAILED : EXIT_OK;
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

void cli_print_error(struct cli *cli, const struct err *err)
{
    cli_log_held(cli, err);
    fputs("kvss: ", stderr);
    out_text(stderr, err->text);
    fputc('\n', stderr);
    if (!cli->json)
        return;
    char hresult[16];
    snprintf(hresult, sizeof(hresult), "0x%08x", err->hresult);
    json_t *o = json_pack("{s:{s:s, s:s, s:s}}", "error", "text", err->text, "errno", strerrorname_np(err->code), "hresult", hresult);
    if (requester_failures(cli->rq))
        json_object_set(o, "failures", (json_t *)(uintptr_t)requester_failures(cli->rq));
    if (o)
        out_json(stdout, o);
    json_decref(o);
}

static int run_job(struct cli *cli, const struct cli_command *c, const void *options, char **args, struct err *err)
{
    json_t *report = NULL;

    if (c->usage)
        c->usage(cli, options, args, err);
    if (err->code)
        return err->code == ENOMEM ? EXIT_FAILED : EXIT_USAGE;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
    r = c->job(cli, options, args, &report, err);
    return cli_finish(cli, r, report, c->render);
}

static int run_with(struct cli *cli, const struct cli_command *c, struct globals *g, void *options, int argc, char **argv, struct err *err)
{
    struct option_set set = { global_options, c->options, g, options };
    int first = 1;

    if (options_parse(&set, argc, argv, false, &first, err) < 0)
        return EXIT_USAGE;
    if (g->help) {
        help_print_command(c, stdout);
        return EXIT_OK;
    }
    int n = argc - first;
    if (n < c->min_args || (c->max_args >= 0 && n > c->max_args))
        return cli_usage(err, "%s: kvss %s%s%s; see kvss %s --help", n < c->min_args ? "missing argument" : "too many arguments", c->name,
                         *c->args ? " " : "", c->args, c->name);
    cli->json = g->json;
    cli->verbose = g->verbose;
    cli->quiet = g->quiet;
    cli->accept_new_repository = g->accept_new_repository;
    cli->accept_rollback = g->accept_rollback;
    cli->accept_host_keys = g->accept_host_keys;
    cli->log.max = g->quiet ? LOG_LEVEL_ERROR : g->verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
    if (cli_settings(cli, g, err) < 0)
        return EXIT_USAGE;
    return c->run ? c->run(cli, options, argv + first, err) : run_job(cli, c, options, argv + first, err);
}

static int run_command(struct cli *cli, const struct cli_command *c, struct globals *g, int argc, char **argv, struct err *err)
{
    _cleanup_free_ void *options = calloc(1, c->options_size ? c->options_size : 1);

    if (!options)
        return err_nomem(err), EXIT_FAILED;
    int code = run_with(cli, c, g, options, argc, argv, err);
    options_free(c->options, options);
    return code;
}

int cli_run(struct cli *cli, int argc, char **argv, struct err *err)
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
            help_print_command(c, stdout);
        else if (first == argc && !g.help && g.json)
            return cli_usage(err, "missing command; kvss --help lists the commands");
        else
            help_print(first == argc && !g.help ? stderr : stdout);
        return first == argc && !g.help ? EXIT_USAGE : EXIT_OK;
    }
    const struct cli_command *c = find_command(argv[first], err);
    return c ? run_command(cli, c, &g, argc - first, argv + first, err) : EXIT_USAGE;
}
