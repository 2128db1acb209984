/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/cli.h"

static void cmd_recover_render(FILE *f, const json_t *report, bool verbose)
{
    const json_t *sessions = json_object_get(report, "sessions"), *s, *line;
    size_t i, k;

    (void)verbose;
    if (json_array_size(sessions) == 0)
        fputs("Nothing to recover: no crashed session was found.\n", f);
    json_array_foreach (sessions, i, s) {
        json_int_t effects = json_integer_value(json_object_get(s, "effects"));
        fprintf(f, "Session %s had crashed: %" JSON_INTEGER_FORMAT " change%s undone.\n", json_string_value(json_object_get(s, "session")),
                effects, num_s((uint64_t)effects));
        json_array_foreach (json_object_get(s, "undone"), k, line)
            fprintf(f, "  %s\n", json_string_value(line));
    }
}

static int cmd_recover_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    (void)opts, (void)args;
    cli->alone = true;
    return requester_recover(cli->rq, ret, err);
}

const struct cli_command cmd_recover = {
    .name = "recover",
    .args = "",
    .summary = "undo what a crashed kvss left behind on VMs",
    .about = "Thaws guests, resumes or starts VMs, ends backup jobs and removes files that a\n"
             "session left behind because kvss was killed or the host went down. Sessions that\n"
             "are still running are not touched. Every command that acts on VMs does this\n"
             "first, and kvss-recover.service does it at boot.",
    .max_args = 0,
    .job = cmd_recover_job,
    .render = cmd_recover_render,
};
