/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

struct guest_options {
    const char *from;
};

static const struct cli_option cmd_guest_options[] = {
    { "from", 0, "FILE", "with install: this archive, not kvss's own", offsetof(struct guest_options, from), NULL, false },
    { .name = NULL },
};

static void cmd_guest_render(FILE *f, const json_t *report, bool verbose)
{
    const json_t *vm;
    size_t i;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        const json_t *guest = json_object_get(vm, "guest");
        out_text(f, out_get(vm, "name"));
        if (!json_is_object(guest)) {
            fputs(": no kvss-guest: ", f);
            out_text(f, out_get(vm, "why"));
            fputc('\n', f);
            continue;
        }
        if (!json_is_true(json_object_get(vm, "installed"))) {
            fputs(": a Windows guest, whose agent runs a VSS backup with the guest's own writers\n", f);
            render_guest(f, guest);
            continue;
        }
        fputs(": kvss-guest ", f);
        out_text(f, out_get(guest, "version"));
        fputs(json_is_true(json_object_get(guest, "hook")) ? ", called by the guest agent's freeze hook\n"
                                                           : ", called by the host (the guest agent runs no freeze hook of ours)\n",
              f);
        if (!json_array_size(json_object_get(guest, "writers")))
            fputs("   no writers: copy those you need from /usr/share/kvss-guest/writers to /etc/kvss/writers.d in the guest\n", f);
        render_guest(f, guest);
    }
}

static void cmd_guest_usage(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct guest_options *o = opts;
    bool install = !strcmp(args[0], "install");

    (void)cli;
    if (!install && strcmp(args[0], "status"))
        cli_usage(err, "unknown action '%s': use kvss guest install or kvss guest status", args[0]);
    else if (install && !args[1])
        cli_usage(err, "missing argument: kvss guest install VM...");
    else if (!install && o->from)
        cli_usage(err, "--from works only with kvss guest install");
}

static int cmd_guest_job(struct cli *cli, const void *opts, char **args, json_t **ret, struct err *err)
{
    const struct guest_options *o = opts;

    return strcmp(args[0], "install") ? requester_guest_status(cli->rq, args + 1, ret, err)
                                      : requester_guest_install(cli->rq, args + 1, o->from, ret, err);
}

const struct cli_command cmd_guest = {
    .name = "guest",
    .args = "install VM...|status [VM...]",
    .summary = "install kvss-guest in Linux guests, or ask it",
    .about = "With kvss-guest, applications in a Linux guest take part in the backup of its\n"
             "VM. install unpacks it in the guest through the guest agent, which must allow\n"
             "guest-exec. status shows its version and the writers that would take part.",
    .min_args = 1,
    .max_args = -1,
    .options = cmd_guest_options,
    .options_size = sizeof(struct guest_options),
    .usage = cmd_guest_usage,
    .job = cmd_guest_job,
    .render = cmd_guest_render,
};
