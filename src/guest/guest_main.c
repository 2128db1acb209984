/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/io.h"
#include "guest/guest.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUN_DIR "/run/kvss-guest"
#define WRITERS_DIR "/etc/kvss/writers.d"

static const char usage[] = "usage: kvss-guest [--run-dir DIR] [--writers-dir DIR] COMMAND\n"
                            "\n"
                            "Started by kvss on the host, through the guest agent (docs/guests.md):\n"
                            "  status       list this guest's writers\n"
                            "  begin        prepare the writers for a backup; limits as JSON on standard input\n"
                            "  freeze       freeze the writers\n"
                            "  end          thaw the writers and report\n"
                            "  abort        abandon the backup and release everything\n"
                            "  committed    notify the writers that a backup has been stored\n"
                            "Started at boot, where the guest agent may not start programs:\n"
                            "  listen       serve the same commands over the virtio port org.kvss.guest.0\n"
                            "Started by the guest agent:\n"
                            "  hook freeze  freeze the writers of the backup in progress, if any\n"
                            "  hook thaw    thaw them\n";

static const struct command {
    const char *name;
    guest_command_fn *run;
    bool input, args, silent;
    bool host; /* the host may ask for it over the channel too */
} commands[] = {
    { "status", guest_status, .host = true },
    { "begin", guest_begin, .input = true, .host = true },
    { "freeze", guest_freeze, .host = true },
    { "end", guest_end, .host = true },
    { "abort", guest_abort, .host = true },
    { "committed", guest_committed, .input = true, .host = true },
    { "hook", guest_hook, .args = true, .silent = true },
    { "listen", guest_listen, .silent = true },
};

static const struct command *guest_command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

guest_command_fn *guest_command_for_host(const char *name)
{
    const struct command *c = name ? guest_command_find(name) : NULL;

    return c && c->host ? c->run : NULL;
}

static int read_input(json_t **ret, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    int r = guest_read_all(STDIN_FILENO, GUEST_IN_MAX, &b, err);
    return r < 0 ? r : json_parse_object(b.data ? (const char *)b.data : "", b.len, "request", ret, err);
}

/* The option's value: the word after it. */
static const char *take_option(int *i, int argc, char **argv, const char *name)
{
    if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc)
        return NULL;
    *i += 2;
    return argv[*i - 1];
}

/* The index of the command; argc: none. */
static int take_options(int argc, char **argv, struct guest *g)
{
    int i = 1;

    for (;;) {
        const char *v;
        if (i < argc && (v = take_option(&i, argc, argv, "--run-dir")))
            g->run_dir = v;
        else if (i < argc && (v = take_option(&i, argc, argv, "--writers-dir")))
            g->writers_dir = v;
        else
            return i;
    }
}

static int guest_command_run(const struct command *c, struct guest *g)
{
    _cleanup_json_ json_t *answer = NULL;
    struct err err = ERR_INIT;
    int r = c->input ? read_input(&g->input, &err) : 0;

    if (r >= 0)
        r = c->run(g, &answer, &err);
    json_decref(g->input);
    if (r < 0 && c->silent)
        (void)(io_write(STDERR_FILENO, err.text, strlen(err.text)) < 0 || io_write(STDERR_FILENO, "\n", 1));
    if (r < 0 && !c->silent)
        answer = guest_error_answer(&err);
    if (!c->silent && guest_write_answer(STDOUT_FILENO, answer) < 0)
        return 1;
    return r < 0;
}

int main(int argc, char **argv)
{
    (void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0); /* for writers, if the agent has none */
    struct guest g = { .run_dir = RUN_DIR, .writers_dir = WRITERS_DIR };
    int at = take_options(argc, argv, &g);
    const struct command *c = at < argc ? guest_command_find(argv[at]) : NULL;

    if (c && !c->args && at + 1 != argc)
        c = NULL;
    if (!c) {
        (void)io_write(STDERR_FILENO, usage, sizeof(usage) - 1);
        return 2;
    }
    g.argc = argc - at - 1;
    g.argv = argv + at + 1;
    return guest_command_run(c, &g);
}
