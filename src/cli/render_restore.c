/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

static void name(FILE *f, const json_t *v)
{
    fputs("VM ", f);
    out_text(f, out_get(v, "name"));
    if (json_is_string(json_object_get(v, "as"))) {
        fputs(" as the copy ", f);
        out_text(f, out_get(v, "as"));
    }
}

static void path_line(FILE *f, const char *what, const json_t *o, const char *key)
{
    fputs(what, f);
    out_text(f, out_get(o, key));
}

/* A place that is reached by symbolic links, and where it really is. */
static void place(FILE *f, const json_t *o)
{
    out_text(f, out_get(o, "path"));
    if (json_is_string(json_object_get(o, "real")))
        path_line(f, ", which is ", o, "real");
}

static void vm(FILE *f, const json_t *v, bool verbose)
{
    size_t i;
    json_t *d;
    char size[16];
    bool registered = json_is_true(json_object_get(v, "registered"));

    name(f, v);
    fprintf(f, ": restored, %s%s\n", registered ? out_get(v, "state") : "files only",
            registered && json_is_true(json_object_get(v, "memory")) ? ", its memory as at the instant" : "");
    json_array_foreach (json_object_get(v, "disks"), i, d) {
        fprintf(f, "   disk %s: ", out_get(d, "target"));
        place(f, d);
        fprintf(f, " (%s, %s)\n", out_get(d, "format"), out_size(d, "size", size));
    }
    json_array_foreach (json_object_get(v, "files"), i, d) {
        fprintf(f, "   %s: ", out_get(d, "what"));
        out_text(f, out_get(d, "path"));
        fputc('\n', f);
    }
    render_demands(f, json_object_get(v, "demands"));
    if (verbose)
        out_list(f, json_object_get(v, "steps"), "   step: ");
    out_list(f, json_object_get(v, "warnings"), "   warning: ");
}

static void set_ids(FILE *f, const json_t *component)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(component, "set_ids"), i, e) {
        bool kept = json_is_true(json_object_get(e, "kept"));
        path_line(f, kept ? "   set-id bits restored: " : "   warning: without its set-id bits: ", e, "path");
        fprintf(f, " (mode %s)%s\n", out_get(e, "mode"), kept ? "" : ": it, or its folder, is not root's alone");
    }
}

static void components(FILE *f, const json_t *report, const char *what)
{
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(report, "files"), i, e) {
        fputs("Component ", f);
        out_text(f, out_get(e, "component"));
        fprintf(f, ": %llu files %s\n", (unsigned long long)out_number(e, "files"), what);
        set_ids(f, e);
    }
}

/* "5f2c01d4a7b1 of 2026-11-22 22:13:05 +01:00 (3 days old)" */
static void chosen(FILE *f, const json_t *report)
{
    char time[40], age[40];

    fprintf(f, "%.12s of %s (%s)", out_get(report, "point"), out_time(report, "instant", time),
            out_age(json_object_get(report, "age_s"), age));
}

void render_restore(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;
    char ms[24];

    json_array_foreach (json_object_get(report, "vms"), i, e)
        vm(f, e, verbose);
    components(f, report, "restored");
    fputs("Restored from ", f);
    chosen(f, report);
    fprintf(f, " in %s.\n", out_ms(json_object_get(report, "elapsed_ms"), ms));
}

/* ---- The plan -------------------------------------------------------------------------------------------------------------*/

static bool is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static void plan_files(FILE *f, const json_t *v)
{
    size_t i;
    json_t *w;
    char size[16];

    json_array_foreach (json_object_get(v, "write"), i, w) {
        fprintf(f, "   %s %s: ", is(w, "device") ? "write onto" : is(w, "replaces") ? "replace" : "write", out_get(w, "what"));
        place(f, w);
        if (json_is_string(json_object_get(w, "format")))
            fprintf(f, " (%s, %s)", out_get(w, "format"), out_size(w, "size", size));
        fputc('\n', f);
    }
    out_list(f, json_object_get(v, "deletes"), "   delete the old image: ");
    out_list(f, json_object_get(v, "stays"), "   stays, not used any more: ");
}

static void plan_nics(FILE *f, const json_t *v)
{
    size_t i;
    json_t *n;

    json_array_foreach (json_object_get(v, "nics"), i, n) {
        bool up = is(n, "link");
        path_line(f, "   NIC ", n, "mac");
        path_line(f, up ? ": connect to " : ": no connection, link down; was on ", n, up ? "to" : "was");
        fputc('\n', f);
    }
}

static void plan_state(FILE *f, const json_t *v)
{
    const char *state = out_get(v, "state");

    if (!strcmp(state, "off"))
        fputs("   stays off\n", f);
    else if (is(v, "memory"))
        fprintf(f, "   %s from its memory as at the instant\n", strcmp(state, "running") ? state : "goes on running");
    else
        fprintf(f, "   boots, %s\n", state);
}

static void plan_vm(FILE *f, const json_t *v)
{
    const json_t *link = json_object_get(v, "link");
    bool here = json_is_string(json_object_get(v, "here"));

    name(f, v);
    fputs(is(v, "part") ? ", some disks only\n" : "\n", f);
    if (is(v, "turn_off"))
        fprintf(f, "   power off (it is %s)\n", out_get(v, "here"));
    if (is(v, "delete"))
        fputs("   delete its definition, saved state, snapshots and checkpoints\n", f);
    else if (here && json_is_string(json_object_get(v, "as")))
        fprintf(f, "   the VM itself stays as it is (%s)\n", out_get(v, "here"));
    plan_files(f, v);
    if (is(v, "register"))
        fputs("   register\n", f);
    if (json_is_object(link)) {
        path_line(f, "   link ", link, "path");
        path_line(f, " to ", link, "to");
        fputc('\n', f);
    }
    plan_nics(f, v);
    if (json_is_string(json_object_get(v, "state")))
        plan_state(f, v);
    render_demands(f, json_object_get(v, "demands"));
    out_list(f, json_object_get(v, "warnings"), "   warning: ");
}

void render_restore_plan(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, e)
        plan_vm(f, e);
    components(f, report, "would be restored");
    render_refused(f, report);
    fputs("Nothing was done: this is what a restore from ", f);
    chosen(f, report);
    fputs(" would do.\n", f);
}

bool render_is_replaced(const json_t *vm)
{
    size_t i;
    json_t *w;

    json_array_foreach (json_object_get(vm, "write"), i, w)
        if (is(w, "replaces"))
            return true;
    return is(vm, "turn_off") || is(vm, "delete") || is(vm, "part");
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
        if (is(v, "part"))
            fputs(" (the disks named)", f);
        lead = ", ";
    }
    fputs(*lead == ',' ? ".\n" : "files of the components.\n", f);
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
        plan_vm(f, e);
        if (json_is_string(json_object_get(e, "consistency")))
            fprintf(f, "   consistency of the backup: %s\n", render_level(out_get(e, "consistency")));
    }
    components(f, plan, "will be restored");
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
    fprintf(f, "DAMAGED: restore point %.12s of %s", out_get(point, "id"), out_time(point, "time", time));
    json_array_foreach (vms, i, vm)
        damaged_names(f, &lead, out_get(vm, "name"), json_object_get(vm, "damaged"));
    damaged_names(f, &lead, "documents", json_object_get(point, "other"));
    lead = "; whole: ";
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
        fprintf(f, "The other %zu restore points are whole.\n", json_array_size(whole));
}

void render_verify(FILE *f, const json_t *report, bool verbose)
{
    uint64_t count = out_number(report, "count");
    bool one = json_is_string(json_object_get(report, "point"));
    const json_t *note;
    size_t i;

    (void)verbose;
    render_findings(f, report);
    json_array_foreach (json_object_get(report, "notes"), i, note) {
        fputs("note: ", f);
        problem(f, note);
    }
    fprintf(f, "%s%.12s: ", one ? "Restore point " : "Repository", one ? out_get(report, "point") : "");
    if (count)
        fprintf(f, "DAMAGED, %llu findings.\n", (unsigned long long)count);
    else
        fprintf(f, "%s was read back and is as it was written.\n",
                json_array_size(json_object_get(report, "missing")) ? "what is there" : "everything");
    render_known(f, report);
}
