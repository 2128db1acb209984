/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

const char *render_method(const char *method)
{
    static const char *const names[][2] = {
        { "child-vm-snapshot", "Child VM Snapshot" },
        { "saved-state", "Saved State" },
        { "live-state", "live state" },
        { "offline", "copied while off" },
        { "crash", "crash consistent" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(names[i][0], method))
            return names[i][1];
    return method;
}

const char *render_level(const char *level)
{
    static const char *const names[][2] = {
        { "application", "application consistent" },
        { "file-system", "file-system consistent" },
        { "saved-state", "memory and disks from the same moment" },
        { "offline", "copied while off" },
        { "crash", "crash consistent" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(names[i][0], level))
            return names[i][1];
    return level;
}

void render_left_out(FILE *f, const json_t *report)
{
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(report, "vms_left_out"), i, vm) {
        fputs("skipped: VM ", f);
        out_text(f, out_get(vm, "name"));
        fputs(": ", f);
        out_text(f, out_get(vm, "why"));
        fputc('\n', f);
    }
}

static void check_conditions(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *c;

    json_array_foreach (json_object_get(vm, "conditions"), i, c) {
        json_t *ok = json_object_get(c, "ok");
        fprintf(f, "   %-20s %-6s ", out_get(c, "name"), json_is_true(ok) ? "ok" : json_is_false(ok) ? "FAILED" : "-");
        out_text(f, out_get(c, "why"));
        fputc('\n', f);
    }
}

static void render_check_disks(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *d;

    json_array_foreach (json_object_get(vm, "disks"), i, d) {
        bool covered = json_is_true(json_object_get(d, "covered"));
        fprintf(f, "   disk %-6s ", out_get(d, "target"));
        out_text(f, out_get(d, "path"));
        fprintf(f, " (%s): %s", out_get(d, "format"), covered ? "backed up" : "NOT backed up: ");
        if (!covered)
            out_text(f, out_get(d, "why"));
        fputc('\n', f);
    }
}

static void check_file_systems(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *fs;

    json_array_foreach (json_object_get(vm, "file_systems"), i, fs) {
        fputs("   file system ", f);
        out_text(f, out_get(fs, "mountpoint"));
        fprintf(f, " (");
        out_text(f, out_get(fs, "type"));
        fputs(")\n", f);
    }
}

static void findings(FILE *f, const json_t *list, const char *lead)
{
    size_t i;
    json_t *e;

    json_array_foreach (list, i, e) {
        /* Before the first backup that is not a fault but the next step. */
        bool next = !strcmp(out_get(e, "id"), "repository-missing");
        fprintf(f, "%s%s: ", lead, next ? "to do" : out_get(e, "level"));
        out_text(f, out_get(e, "text"));
        if (json_is_string(json_object_get(e, "remedy"))) {
            fprintf(f, "\n%s   remedy: ", lead);
            out_text(f, out_get(e, "remedy"));
        }
        fputc('\n', f);
    }
}

/* The host and the repository, and with --verbose the room there is. */
static void surroundings(FILE *f, const json_t *report, bool verbose)
{
    const json_t *repository = json_object_get(report, "repository");
    char a[16], b[16], c[16];
    size_t i;
    json_t *e;

    if (json_is_object(repository)) {
        fputs("\nrepository ", f);
        out_text(f, out_get(repository, "path"));
        fprintf(f, ": %s", out_get(repository, "state"));
        if (json_is_integer(json_object_get(repository, "free")))
            fprintf(f, ", %s free", out_size(repository, "free", a));
        fputc('\n', f);
    }
    if (verbose)
        json_array_foreach (json_object_get(report, "scratch"), i, e) {
            fputs("scratch files in ", f);
            out_text(f, out_get(e, "dir"));
            fprintf(f, ": %s free, %s to be left free, disk data %s\n", out_size(e, "free", a), out_size(e, "reserve", b),
                    out_size(e, "disks_hold", c));
        }
    findings(f, json_object_get(report, "findings"), "");
}

/* One line for each writer in the guest; `lead` before it. */
static void guest_writer(FILE *f, const json_t *w)
{
    size_t i;
    json_t *c;

    fputs("   guest writer ", f);
    out_text(f, out_get(w, "name"));
    if (json_is_string(json_object_get(w, "error"))) {
        fputs(": FAILED: ", f);
        out_text(f, out_get(w, "error"));
    } else if (json_is_boolean(json_object_get(w, "held"))) {
        fputs(json_is_true(json_object_get(w, "held")) ? ": frozen" : ": not frozen: it has no freeze", f);
    } else if (out_get(w, "state")[0] == '[') { /* of Windows, as its vssadmin shows it */
        fputs(": ", f);
        out_text(f, out_get(w, "state"));
    }
    fputc('\n', f);
    json_array_foreach (json_object_get(w, "components"), i, c) {
        if (!json_is_string(json_object_get(c, "invariant")))
            continue;
        fputs("      ", f);
        out_text(f, out_get(c, "name"));
        fputs(": ", f);
        out_text(f, out_get(c, "invariant"));
        fputc('\n', f);
    }
}

/* What the agent of a Windows guest is set to request from its writers, which decides what they do to their logs. */
static void guest_backup_type(FILE *f, const char *type)
{
    fputs("   VSS backup type set in the guest: ", f);
    out_text(f, type);
    fputs(!strcmp(type, "full") ? ": writers may truncate their logs; see kvss-backup(1), Windows guests\n"
                                : " (older guest agents ignore this and make a full backup)\n",
          f);
}

void render_guest(FILE *f, const json_t *guest)
{
    const char *type = json_string_value(json_object_get(guest, "backup_type"));
    size_t i;
    json_t *w;
    char ms[24];

    if (type)
        guest_backup_type(f, type);
    if (json_is_string(json_object_get(guest, "failure"))) {
        fputs("   writers in the guest: ", f);
        out_text(f, out_get(guest, "failure"));
        fputc('\n', f);
    }
    json_array_foreach (json_object_get(guest, "writers"), i, w)
        guest_writer(f, w);
    out_list(f, json_object_get(guest, "skipped"), "   guest writer skipped: ");
    if (json_is_number(json_object_get(guest, "hold_ms")))
        fprintf(f, "   guest writers frozen for %s\n", out_ms(json_object_get(guest, "hold_ms"), ms));
}

void render_check(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        const char *refused = json_string_value(json_object_get(vm, "refused"));
        fputs(i ? "\n" : "", f);
        out_text(f, out_get(vm, "name"));
        fprintf(f, " (%s): %s%s, %s\n", out_get(vm, "state"), refused ? "REFUSED. Would be " : "", render_method(out_get(vm, "method")),
                render_level(out_get(vm, "level")));
        if (refused) {
            fputs("   refused: ", f);
            out_text(f, refused);
            fputc('\n', f);
        }
        check_conditions(f, vm);
        render_check_disks(f, vm);
        render_guest(f, json_object_get(vm, "guest"));
        if (verbose)
            check_file_systems(f, vm);
        render_demands(f, json_object_get(vm, "demands"));
        out_list(f, json_object_get(vm, "warnings"), "   warning: ");
        findings(f, json_object_get(vm, "findings"), "   ");
    }
    render_left_out(f, report);
    surroundings(f, report, verbose);
}
