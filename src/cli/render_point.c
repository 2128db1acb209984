/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A restore point, just made or shown: what each VM's copy is worth, and why (B3). */
#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

/* How long the guest stood still: "frozen 52 ms", "paused 2134 ms", "not at all", "-" where it did not run. */
static const char *held(const json_t *vm, char buf[static 40])
{
    const json_t *down = json_object_get(vm, "down_ms"), *frozen = json_object_get(vm, "frozen_ms");
    char ms[24];

    if (json_number_value(down) > 0)
        snprintf(buf, 40, "paused %.0f ms", json_number_value(down));
    else if (json_is_number(frozen))
        snprintf(buf, 40, "frozen %s", out_ms(frozen, ms));
    else
        snprintf(buf, 40, json_is_number(down) ? "not at all" : "-");
    return buf;
}

static bool is_crash(const json_t *vm)
{
    return !strcmp(out_get(vm, "method"), "crash");
}

static void vm_table(FILE *f, const json_t *report)
{
    static const char *const header[] = { "VM", "TYPE", "METHOD", "CONSISTENCY", "GUEST PAUSED", "DISKS", "READ", "STORED" };
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        char hold[40], point_disks[24], read[16], stored[16];
        snprintf(point_disks, sizeof(point_disks), "%llu", (unsigned long long)out_number(vm, "disks"));
        const char *type = json_is_string(json_object_get(vm, "type")) ? out_get(vm, "type") : out_get(report, "type");
        const char *cells[] = { out_get(vm, "name"), type,        render_method(out_get(vm, "method")), out_get(vm, "consistency"),
                                held(vm, hold),      point_disks, out_size(vm, "read", read),           out_size(vm, "stored", stored) };
        table_add(t, cells);
    }
    table_print(t, f);
}

static void point_writers(FILE *f, const json_t *report)
{
    size_t i, k;
    json_t *w, *c;
    char size[16], files[64];

    json_array_foreach (json_object_get(report, "writers"), i, w)
        json_array_foreach (json_object_get(w, "components"), k, c) {
            fputs("writer ", f);
            out_text(f, out_get(w, "name"));
            fputs(", component ", f);
            out_text(f, out_get(c, "name"));
            fprintf(f, ": %s, %s", out_count(out_number(c, "files"), "file", files), out_size(c, "size", size));
            if (json_is_string(json_object_get(c, "level"))) /* an older kvss recorded none */
                fprintf(f, ", %s", strcmp(out_get(c, "level"), "not-held") ? out_get(c, "level") : "not frozen: its writer has no freeze");
            fputc('\n', f);
            out_list(f, json_object_get(c, "warnings"), "   warning: ");
        }
    out_list(f, json_object_get(report, "left_out"), "skipped as requested: writer ");
    render_left_out(f, report);
}

/* Whether the disk was left out as asked for, which is said without a warning. */
static bool excluded_disk(FILE *f, const json_t *vm, const char *target)
{
    size_t i;
    json_t *d;

    json_array_foreach (json_object_get(vm, "excluded_disks"), i, d) {
        if (!target || strcmp(out_get(d, "target"), target))
            continue;
        fprintf(f, "skipped: %s: disk ", out_get(vm, "name"));
        out_text(f, target);
        fputs(": ", f);
        out_text(f, out_get(d, "why"));
        fputc('\n', f);
        return true;
    }
    return false;
}

static void point_warnings(FILE *f, const json_t *report)
{
    size_t i, k;
    json_t *vm, *target;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        char lead[300];
        snprintf(lead, sizeof(lead), "warning: %s: ", out_get(vm, "name"));
        out_list(f, json_object_get(vm, "warnings"), lead);
        json_array_foreach (json_object_get(vm, "not_covered"), k, target)
            if (!excluded_disk(f, vm, json_string_value(target))) {
                fprintf(f, "warning: %s: not backed up: disk ", out_get(vm, "name"));
                out_text(f, json_string_value(target));
                fputc('\n', f);
            }
    }
}

/* Where less was done than was asked for: "web01: full: ...". */
static void types(FILE *f, const json_t *report)
{
    size_t i, k;
    json_t *vm, *d;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        if (json_is_string(json_object_get(vm, "why_type"))) {
            out_text(f, out_get(vm, "name"));
            fprintf(f, ": %s, because ", out_get(vm, "type"));
            out_text(f, out_get(vm, "why_type"));
            fputc('\n', f);
        }
        json_array_foreach (json_object_get(vm, "whole"), k, d) {
            out_text(f, out_get(vm, "name"));
            fprintf(f, ": disk %s: full read, because ", out_get(d, "target"));
            out_text(f, out_get(d, "why"));
            fputc('\n', f);
        }
    }
}

static bool fell_to_file_systems(const json_t *vm)
{
    return !strcmp(out_get(vm, "method"), "child-vm-snapshot");
}

/* What became of a VM whose guest could not be quiesced. */
static const char *fallback_words(const json_t *vm)
{
    if (fell_to_file_systems(vm))
        return "writers in the guest could not be used, so only its file systems were frozen";
    return is_crash(vm) ? "the guest could not be quiesced, so its disks are only crash consistent"
                        : "the guest could not be quiesced, so the VM was saved instead";
}

/* "web01: the guest could not be quiesced, so the VM was saved instead: ..." */
static void unquiet(FILE *f, const json_t *report)
{
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        if (!json_is_string(json_object_get(vm, "not_quiesced")))
            continue;
        out_text(f, out_get(vm, "name"));
        fprintf(f, ": %s: ", fallback_words(vm));
        out_text(f, out_get(vm, "not_quiesced"));
        fputc('\n', f);
    }
}

static void summary(FILE *f, const json_t *report, const char *id)
{
    char instant[40], vms[64];

    if (json_is_string(json_object_get(report, "label"))) {
        fputs("Label: ", f);
        out_text(f, out_get(report, "label"));
        fputc('\n', f);
    }
    fprintf(f, "Restore point %.12s (%s), %s as of %s\n", id, out_get(report, "type"),
            out_count(json_array_size(json_object_get(report, "vms")), "VM", vms), out_time(report, "instant", instant));
    vm_table(f, report);
    point_writers(f, report);
}

/* The repository's files that the index names and that are not intact. */
static void lost(FILE *f, const json_t *report)
{
    const json_t *l = json_object_get(report, "lost");
    char chunks[64];

    if (!json_is_object(l))
        return;
    fprintf(f, "warning: the repository is damaged: files missing: %llu, truncated: %llu, for example ",
            (unsigned long long)out_number(l, "missing"), (unsigned long long)out_number(l, "cut"));
    out_text(f, out_get(l, "first"));
    fprintf(f, ".\nThis backup stored %s of the lost data again. Run kvss fsck to see which restore points are still incomplete.\n",
            out_count(out_number(l, "stored_again"), "chunk", chunks));
}

/* Restore points whose index is missing. */
static void unindexed(FILE *f, const json_t *report)
{
    const json_t *u = json_object_get(report, "unindexed");
    char points[64];

    if (json_is_object(u))
        fprintf(f,
                "warning: an index file of the repository was removed or replaced by an older one: at least %s cannot be read without "
                "it.\nRun kvss repair index to rebuild the index.\n",
                out_count(out_number(u, "points"), "restore point", points));
}

void render_backup_notes(FILE *f, const json_t *report)
{
    types(f, report);
    unquiet(f, report);
    point_warnings(f, report);
}

void render_repository_notes(FILE *f, const json_t *report)
{
    lost(f, report);
    unindexed(f, report);
}

/* Who asks for all VMs should know that they share one fate. */
static void one_set(FILE *f, const json_t *report)
{
    const json_t *selection = json_object_get(report, "selection");

    if (json_is_string(json_object_get(selection, "set"))) {
        fputs("Set ", f);
        out_text(f, out_get(selection, "set"));
        fputs(": its VMs as one set, at the same instant, all or nothing.\n", f);
    } else if (json_is_true(json_object_get(selection, "all"))) {
        fputs("All VMs as one set, at the same instant (--each backs them up one by one).\n", f);
    }
}

void render_backup(FILE *f, const json_t *report, bool verbose)
{
    char read[16], stored[16], ms[24];

    (void)verbose;
    one_set(f, report);
    summary(f, report, out_get(report, "point"));
    render_backup_notes(f, report);
    render_repository_notes(f, report);
    fprintf(f, "%s read, %s stored in %s.\n", out_size(report, "read", read), out_size(report, "stored", stored),
            out_ms(json_object_get(report, "elapsed_ms"), ms));
}

/* ---- show -----------------------------------------------------------------------------------------------------------------*/

static void point_frozen(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *fs;

    json_array_foreach (json_object_get(vm, "frozen"), i, fs) {
        fputs("   file system ", f);
        out_text(f, out_get(fs, "mountpoint"));
        fputs(" (", f);
        out_text(f, out_get(fs, "type"));
        fputs(json_is_true(json_object_get(fs, "frozen")) ? "): frozen" : "): not frozen", f);
        if (json_is_string(json_object_get(fs, "why"))) {
            fputs(", ", f);
            out_text(f, out_get(fs, "why"));
        }
        fputc('\n', f);
    }
}

static void failed_conditions(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *c;

    json_array_foreach (json_object_get(vm, "conditions"), i, c) {
        if (!json_is_false(json_object_get(c, "ok")))
            continue;
        fprintf(f, "   condition %s failed: ", out_get(c, "name"));
        out_text(f, out_get(c, "why"));
        fputc('\n', f);
    }
}

static void point_disks(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *d;
    char size[16];

    json_array_foreach (json_object_get(vm, "disks"), i, d) {
        bool covered = json_is_true(json_object_get(d, "covered"));
        fprintf(f, "   disk %s: ", out_get(d, "target"));
        out_text(f, out_get(d, "path"));
        fprintf(f, " (%s, %s)", out_get(d, "format"), out_size(d, "size", size));
        if (json_array_size(json_object_get(d, "backing")))
            fputs(", including its backing images", f);
        fputs(covered ? "" : ": NOT in this restore point: ", f);
        if (!covered)
            out_text(f, out_get(d, "why"));
        if (json_is_integer(json_object_get(d, "read")))
            fprintf(f, ": %s read", out_size(d, "read", size));
        if (json_is_integer(json_object_get(d, "dirty")))
            fprintf(f, ", %s changed", out_size(d, "dirty", size));
        if (json_is_integer(json_object_get(d, "stored")))
            fprintf(f, ", %s stored", out_size(d, "stored", size));
        if (json_is_string(json_object_get(d, "why_whole"))) {
            fputs("\n      full read, because ", f);
            out_text(f, out_get(d, "why_whole"));
        }
        fputc('\n', f);
    }
}

static void point_parts(FILE *f, const json_t *vm)
{
    size_t i;
    json_t *p;

    json_array_foreach (json_object_get(vm, "parts"), i, p) {
        char size[16];
        fprintf(f, "   %s (%s)", out_get(p, "name"), out_size(p, "size", size));
        if (json_is_string(json_object_get(p, "restore_path"))) {
            fputs(": ", f);
            out_text(f, out_get(p, "restore_path"));
        }
        fputc('\n', f);
    }
}

static void type(FILE *f, const json_t *vm)
{
    if (!json_is_string(json_object_get(vm, "type")))
        return; /* of an older kvss */
    fprintf(f, "   type: %s", out_get(vm, "type"));
    if (json_is_string(json_object_get(vm, "since")))
        fprintf(f, ", changes since restore point %.12s", out_get(vm, "since"));
    if (json_is_string(json_object_get(vm, "why_type"))) {
        fprintf(f, " (%s was requested; ", out_get(vm, "asked"));
        out_text(f, out_get(vm, "why_type"));
        fputc(')', f);
    }
    fputc('\n', f);
}

static void point_policy(FILE *f, const json_t *vm)
{
    const json_t *p = json_object_get(vm, "policy");

    if (!json_is_object(p))
        return; /* of an older kvss */
    fprintf(f, "   policy: method %s, fallback %s", out_get(p, "method"), out_get(p, "fallback"));
    if (json_is_string(json_object_get(p, "require")))
        fprintf(f, ", at least %s", out_get(p, "require"));
    fputc('\n', f);
}

static void attempts(FILE *f, const json_t *report)
{
    size_t i;
    json_t *a;

    json_array_foreach (json_object_get(report, "attempts"), i, a) {
        fprintf(f, "attempt %zu failed and was rolled back: ", i + 1);
        out_text(f, out_get(a, "why"));
        fputc('\n', f);
    }
}

/* Whether an attempt failed because the VM's guest could not be quiesced; else that was known beforehand. */
static bool was_retried(const json_t *report, const json_t *vm)
{
    const json_t *a, *name;
    size_t i, k;

    json_array_foreach (json_object_get(report, "attempts"), i, a)
        json_array_foreach (json_object_get(a, "vms"), k, name)
            if (json_is_string(name) && !strcmp(json_string_value(name), out_get(vm, "vm")))
                return true;
    return false;
}

static void detail(FILE *f, const json_t *report, const json_t *vm)
{
    char hold[40];

    fputc('\n', f);
    out_text(f, out_get(vm, "vm"));
    fprintf(f, " {%s}: was %s\n", out_get(vm, "uuid"), out_get(vm, "state"));
    type(f, vm);
    fprintf(f, "   method: %s: ", render_method(out_get(vm, "method")));
    out_text(f, out_get(vm, "why"));
    if (json_is_string(json_object_get(vm, "not_quiesced")) && fell_to_file_systems(vm)) {
        fputs("; without the writers in the guest: ", f);
        out_text(f, out_get(vm, "not_quiesced"));
    } else if (was_retried(report, vm)) {
        fprintf(f, " (detected at the instant of the backup: the set was restarted with this VM %s)",
                is_crash(vm) ? "left running" : "saved");
    }
    fprintf(f, "\n   consistency: %s\n   guest paused: %s\n", render_level(out_get(vm, "consistency")), held(vm, hold));
    point_policy(f, vm);
    failed_conditions(f, vm);
    point_frozen(f, vm);
    render_guest(f, json_object_get(vm, "guest"));
    point_disks(f, vm);
    point_parts(f, vm);
    if (json_is_string(json_object_get(vm, "checkpoint")))
        fprintf(f, "   checkpoint: %s\n", out_get(vm, "checkpoint"));
    out_list(f, json_object_get(vm, "warnings"), "   warning: ");
}

void render_show(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;
    char size[16], time[40];

    summary(f, report, out_get(report, "id"));
    fprintf(f, "id %s\nsnapshot set {%s}\ncreated on %s (%s) by kvss %s, committed %s\n", out_get(report, "id"), out_get(report, "set"),
            out_get(report, "host"), out_get(report, "connection"), out_get(report, "kvss"), out_time(report, "time", time));
    attempts(f, report);
    render_protection(f, json_object_get(report, "protected"));
    json_array_foreach (json_object_get(report, "details"), i, e) {
        detail(f, report, e);
        render_demands(f, json_object_get(e, "demands"));
    }
    if (!verbose)
        return;
    fputs("\nDocuments:\n", f);
    out_list(f, json_object_get(report, "documents"), "   ");
    fputs("Images:\n", f);
    json_array_foreach (json_object_get(report, "images"), i, e) {
        fputs("   ", f);
        out_text(f, out_get(e, "name"));
        fprintf(f, " (%s)\n", out_size(e, "size", size));
    }
}
