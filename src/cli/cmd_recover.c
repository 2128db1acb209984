/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"

static void render(FILE *f, const json_t *report, bool verbose)
{
    const json_t *sessions = json_object_get(report, "sessions"), *s, *line;
    size_t i, k;

    (void)verbose;
    if (json_array_size(sessions) == 0)
        fputs("No session of kvss was left behind.\n", f);
    json_array_foreach(sessions, i, s) {
        json_int_t effects = json_integer_value(json_object_get(s, "effects"));
        fprintf(f, "Session %s had died: %" JSON_INTEGER_FORMAT " effect%s undone.\n",
                json_string_value(json_object_get(s, "session")), effects, effects == 1 ? "" : "s");
        json_array_foreach (json_object_get(s, "undone"), k, line)
            fprintf(f, "  %s\n", json_string_value(line));
    }
}

static int run(struct cli *cli, const void *options, char **args, struct err *err)
{
    json_t *report = NULL;

    (void)options;
    (void)args;
    cli->alone = true;
    int r = cli_prepare(cli, err);
    if (r < 0)
        return EXIT_FAILED;
    r = requester_recover(cli->rq, &report, err);
    return cli_finish(cli, r, report, render);
}

const struct cli_command cmd_recover = {
    .name = "recover",
    .args = "",
    .summary = "put back what sessions that died have left on VMs",
    .about = "Thaws guests, resumes or starts VMs, ends backup jobs and removes files that a\n"
             "session left behind because it was killed or the host went down. Sessions that\n"
             "live are not touched. Every command that acts on VMs does the same first; the\n"
             "unit kvss-recover.service does it at boot.",
    .max_args = 0,
    .run = run,
};
