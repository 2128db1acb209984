/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/num.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

static void name(FILE *f, const json_t *v)
{
    fputs("VM ", f);
    out_text(f, out_get(v, "name"));
    if (json_is_string(json_object_get(v, "as"))) {
        fputs(" as ", f);
        out_text(f, out_get(v, "as"));
    }
}

static void path_line(FILE *f, const char *what, const json_t *o, const char *key)
{
    fputs(what, f);
    out_text(f, out_get(o, key));
}

/* A place that is reached by symbolic links, and where it really is. */
static void render_restore_place(FILE *f, const json_t *o)
{
    out_text(f, out_get(o, "path"));
    if (json_is_string(json_object_get(o, "real")))
        path_line(f, ", actual path ", o, "real");
}

static void restore_steps(FILE *f, const json_t *v)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(v, "steps"), i, e) {
        fprintf(f, "   step: %s: ", out_get(e, "step"));
        out_text(f, out_get(e, "text"));
        fputc('\n', f);
    }
}

static void vm(FILE *f, const json_t *v, bool verbose)
{
    size_t i;
    json_t *d;
    char size[16];
    bool registered = json_is_true(json_object_get(v, "registered"));
    name(f, v);
    fprintf(f, ": restored, %s%s\n", registered ? out_get(v, "state") : "files only",
            registered && json_is_true(json_object_get(v, "memory")) ? ", with its memory from the backup" : "");
    json_array_foreach (json_object_get(v, "disks"), i, d) {
        fprintf(f, "   disk %s: ", out_get(d, "target"));
        render_restore_place(f, d);
        fprintf(f, " (%s, %s)\n", out_get(d, "format"), out_size(d, "size", size));
    }
    json_array_foreach (json_object_get(v, "files"), i, d) {
        fprintf(f, "   %s: ", out_get(d, "what"));
        out_text(f, out_get(d, "path"));
        fputc('\n', f);
    }
    render_demands(f, json_object_get(v, "demands"));
    if (verbose)
        restore_steps(f, v);
    out_list(f, json_object_get(v, "warnings"), "   warning: ");
}

static void set_ids(FILE *f, const json_t *component)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(component, "set_ids"), i, e) {
        bool kept = json_is_true(json_object_get(e, "kept"));
        path_line(f, kept ? "   set-ID bits restored: " : "   warning: without set-ID bits: ", e, "path");
        fprintf(f, " (mode %s)%s\n", out_get(e, "mode"), kept ? "" : ": the file or its folder can be changed by users other than root");
    }
}

static void alternates(FILE *f, const json_t *component)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(component, "alternate"), i, e) {
        fputs(i ? ", " : " to the writer's alternate location ", f);
        out_text(f, json_string_value(e));
    }
}

static void restore_components(FILE *f, const json_t *report, const char *what)
{
    char files[64];
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(report, "files"), i, e) {
        fputs("Component ", f);
        out_text(f, out_get(e, "component"));
        fprintf(f, ": %s %s", out_count(out_number(e, "files"), "file", files), what);
        if (json_is_string(json_object_get(e, "path"))) {
            fputs(" under ", f);
            render_restore_place(f, e);
        }
        alternates(f, e);
        if (json_is_string(json_object_get(e, "service"))) {
            fputs("; if it runs, its service is stopped meanwhile: ", f);
            out_text(f, out_get(e, "service"));
        }
        fputc('\n', f);
        set_ids(f, e);
    }
}

/* "5f2c01d4a7b1 of 2026-11-22 22:13:05 +01:00 (3 days old)" */
static void chosen(FILE *f, const json_t *report)
{
    char time[40], age[40];

    fprintf(f, "%.12s as of %s (%s)", out_get(report, "point"), out_time(report, "instant", time),
            out_age(json_object_get(report, "age_s"), age));
}

/* Of a restore with --backup-first. */
static void way_back(FILE *f, const json_t *first)
{
    size_t i;
    json_t *name;
    char until[40];

    if (!json_is_object(first))
        return;
    fprintf(f, "What was replaced is in restore point %.12s", out_get(first, "point"));
    if (json_is_string(json_object_get(first, "until")))
        fprintf(f, ", protected until %s", out_time(first, "until", until));
    fputs(". To bring it back: kvss restore --undo", f);
    json_array_foreach (json_object_get(first, "vms"), i, name) {
        fputc(' ', f);
        out_text(f, json_string_value(name));
    }
    json_array_foreach (json_object_get(first, "disks"), i, name) {
        fputs(" --disk ", f);
        out_text(f, json_string_value(name));
    }
    fputc('\n', f);
}

void render_restore(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;
    char ms[24];

    json_array_foreach (json_object_get(report, "vms"), i, e)
        vm(f, e, verbose);
    restore_components(f, report, "restored");
    fputs("Restored from ", f);
    chosen(f, report);
    fprintf(f, " in %s.\n", out_ms(json_object_get(report, "elapsed_ms"), ms));
    way_back(f, json_object_get(report, "backup_first"));
}

/* ---- The plan -------------------------------------------------------------------------------------------------------------*/

static bool restore_is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static void restore_plan_files(FILE *f, const json_t *v)
{
    size_t i;
    json_t *w;
    char size[16];

    json_array_foreach (json_object_get(v, "write"), i, w) {
        fprintf(f, "   %s %s: ",
                restore_is(w, "device")     ? "overwrite device"
                : restore_is(w, "replaces") ? "replace"
                                            : "write",
                out_get(w, "what"));
        render_restore_place(f, w);
        if (json_is_string(json_object_get(w, "format")))
            fprintf(f, " (%s, %s)", out_get(w, "format"), out_size(w, "size", size));
        fputc('\n', f);
    }
    out_list(f, json_object_get(v, "deletes"), "   delete the old image: ");
    out_list(f, json_object_get(v, "stays"), "   left in place, no longer used: ");
}

static void plan_nics(FILE *f, const json_t *v)
{
    size_t i;
    json_t *n;

    json_array_foreach (json_object_get(v, "nics"), i, n) {
        bool up = restore_is(n, "link");
        path_line(f, "   NIC ", n, "mac");
        path_line(f, up ? ": connect to " : ": not connected, link down; was on ", n, up ? "to" : "was");
        fputc('\n', f);
    }
}

static void restore_plan_state(FILE *f, const json_t *v)
{
    const char *state = out_get(v, "state");

    if (!strcmp(state, "off"))
        fputs("   stays off\n", f);
    else if (restore_is(v, "memory"))
        fprintf(f, "   %s with its memory from the backup\n", strcmp(state, "running") ? state : "resumes running");
    else
        fprintf(f, "   boots and is then %s\n", state);
}

static void restore_plan_vm(FILE *f, const json_t *v)
{
    const json_t *link = json_object_get(v, "link");
    bool here = json_is_string(json_object_get(v, "here"));

    name(f, v);
    fputs(restore_is(v, "part") ? ", selected disks only\n" : "\n", f);
    if (restore_is(v, "turn_off"))
        fprintf(f, "   power off (currently %s)\n", out_get(v, "here"));
    if (restore_is(v, "delete"))
        fputs("   delete its definition, saved state, snapshots and checkpoints\n", f);
    else if (here && json_is_string(json_object_get(v, "as")))
        fprintf(f, "   the original VM is not touched (%s)\n", out_get(v, "here"));
    restore_plan_files(f, v);
    if (restore_is(v, "register"))
        fputs("   define the VM\n", f);
    if (json_is_object(link)) {
        path_line(f, "   link ", link, "path");
        path_line(f, " to ", link, "to");
        fputc('\n', f);
    }
    plan_nics(f, v);
    if (json_is_string(json_object_get(v, "state")))
        restore_plan_state(f, v);
    render_demands(f, json_object_get(v, "demands"));
    out_list(f, json_object_get(v, "warnings"), "   warning: ");
}

void render_restore_plan(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, e)
        restore_plan_vm(f, e);
    restore_components(f, report, "would be restored");
    render_refused(f, report);
    fputs("Dry run: nothing was changed. This is what restoring from ", f);
    chosen(f, report);
    fputs(" would do.\n", f);
}

bool render_is_replaced(const json_t *vm)
{
    size_t i;
    json_t *w;

    json_array_foreach (json_object_get(vm, "write"), i, w)
        if (restore_is(w, "replaces"))
            return true;
    return restore_is(vm, "turn_off") || restore_is(vm, "delete") || restore_is(vm, "part");
}

/* Of what is replaced. */
static void what_is_lost(FILE *f, const json_t *vms)
{
    const char *lead = "VM ";
    size_t i;
    json_t *v;

    json_array_foreach (vms, i, v) {
        if (!render_is_replaced(v))
            continue;
        fputs(lead, f);
        out_text(f, out_get(v, "name"));
        if (restore_is(v, "part"))
            fputs(" (the disks named)", f);
        lead = ", ";
    }
    fputs(*lead == ',' ? ".\n" : "files of the components listed.\n", f);
}

void render_restore_question(FILE *f, const json_t *plan)
{
    const json_t *vms = json_object_get(plan, "vms");
    char time[40];
    size_t i;
    json_t *e;

    fputs("Restore point ", f);
    chosen(f, plan);
    fputc('\n', f);
    json_array_foreach (vms, i, e) {
        restore_plan_vm(f, e);
        if (json_is_string(json_object_get(e, "consistency")))
            fprintf(f, "   consistency of the backup: %s\n", render_level(out_get(e, "consistency")));
    }
    restore_components(f, plan, "will be restored");
    render_refused(f, plan);
    if (json_array_size(json_object_get(plan, "refused")))
        return;
    fprintf(f, "All changes since %s will be lost: ", out_time(plan, "instant", time));
    what_is_lost(f, vms);
}

/* "5f2c01d4a7b1 web01 disk/vda: ..." */
static void problem(FILE *f, const json_t *p)
{
    const char *name = json_string_value(json_object_get(p, "name")), *vm = json_string_value(json_object_get(p, "vm"));

    if (json_is_string(json_object_get(p, "point")))
        fprintf(f, "%.12s ", out_get(p, "point"));
    if (vm) {
        fputs("VM ", f);
        out_text(f, vm);
        fputc(' ', f);
        for (int part = 0; part < 2 && name && strchr(name, '/'); part++)
            name = strchr(name, '/') + 1; /* vm/UUID/ */
    }
    out_text(f, name);
    fputs(name ? ": " : "", f);
    out_text(f, out_get(p, "what"));
    fputc('\n', f);
}

/* ": web01 (disk/vda, part/nvram)", then ", web02 ..." */
static void damaged_names(FILE *f, const char **lead, const char *of, const json_t *names)
{
    const json_t *name;
    size_t i;

    if (json_array_size(names) == 0)
        return;
    fputs(*lead, f);
    *lead = ", ";
    out_text(f, of);
    json_array_foreach (names, i, name) {
        fputs(i ? ", " : " (", f);
        out_text(f, json_string_value(name));
    }
    fputc(')', f);
}

/* "DAMAGED: restore point 5f2c01d4a7b1 of 2026-...: web01 (disk/vda); whole: db01" */
static void damaged_point(FILE *f, const json_t *point)
{
    const json_t *vms = json_object_get(point, "vms"), *vm;
    const char *lead = ": ";
    char time[40];
    size_t i;

    if (!json_is_array(vms)) {
        fprintf(f, "DAMAGED: restore point %s cannot be read.\n", out_get(point, "id"));
        return;
    }
    fprintf(f, "DAMAGED: restore point %.12s as of %s", out_get(point, "id"), out_time(point, "time", time));
    json_array_foreach (vms, i, vm)
        damaged_names(f, &lead, out_get(vm, "name"), json_object_get(vm, "damaged"));
    damaged_names(f, &lead, "documents", json_object_get(point, "other"));
    lead = "; intact: ";
    json_array_foreach (vms, i, vm)
        if (json_array_size(json_object_get(vm, "damaged")) == 0) {
            fputs(lead, f);
            out_text(f, out_get(vm, "name"));
            lead = ", ";
        }
    fputs(".\n", f);
}

void render_findings(FILE *f, const json_t *report)
{
    const json_t *p, *damaged = json_object_get(report, "damaged"), *whole = json_object_get(report, "whole");
    char intact[64];
    size_t i;

    json_array_foreach (json_object_get(report, "problems"), i, p)
        problem(f, p);
    json_array_foreach (json_object_get(report, "warnings"), i, p) {
        fputs("warning: ", f);
        out_text(f, json_string_value(p));
        fputs(".\n", f);
    }
    json_array_foreach (damaged, i, p)
        damaged_point(f, p);
    if (json_array_size(damaged) && json_array_size(whole))
        fprintf(f, "%s %s intact.\n", out_count(json_array_size(whole), "other restore point", intact),
                num_word(json_array_size(whole), "is", "are"));
}

void render_verify(FILE *f, const json_t *report, bool verbose)
{
    uint64_t count = out_number(report, "count");
    bool one = json_is_string(json_object_get(report, "point"));
    const json_t *note;
    char findings[64];
    size_t i;

    (void)verbose;
    render_findings(f, report);
    json_array_foreach (json_object_get(report, "notes"), i, note) {
        fputs("note: ", f);
        problem(f, note);
    }
    fprintf(f, "%s%.12s: ", one ? "Restore point " : "Repository", one ? out_get(report, "point") : "");
    if (count)
        fprintf(f, "DAMAGED: %s.\n", out_count(count, "finding", findings));
    else
        fprintf(f, "OK: all %sdata read back and verified.\n", json_array_size(json_object_get(report, "missing")) ? "existing " : "");
    render_known(f, report);
}
