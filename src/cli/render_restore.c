/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

static void vm(FILE *f, const json_t *v, bool verbose)
{
    size_t i;
    json_t *d;
    char size[16];

    fputs("VM ", f);
    out_text(f, out_get(v, "name"));
    fprintf(f, ": restored, %s%s\n", out_get(v, "state"),
            json_is_true(json_object_get(v, "memory")) ? ", its memory as at the instant" : "");
    json_array_foreach (json_object_get(v, "disks"), i, d) {
        fprintf(f, "   disk %s: ", out_get(d, "target"));
        out_text(f, out_get(d, "path"));
        fprintf(f, " (%s, %s)\n", out_get(d, "format"), out_size(d, "size", size));
    }
    if (verbose)
        out_list(f, json_object_get(v, "steps"), "   step: ");
    out_list(f, json_object_get(v, "warnings"), "   warning: ");
}

void render_restore(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;
    char ms[24];

    json_array_foreach (json_object_get(report, "vms"), i, e)
        vm(f, e, verbose);
    json_array_foreach (json_object_get(report, "files"), i, e) {
        fputs("Component ", f);
        out_text(f, out_get(e, "component"));
        fprintf(f, ": %llu files restored\n", (unsigned long long)out_number(e, "files"));
    }
    fprintf(f, "Restored from %.12s in %s.\n", out_get(report, "point"), out_ms(json_object_get(report, "elapsed_ms"), ms));
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
    size_t i;

    if (!json_is_array(vms)) {
        fprintf(f, "DAMAGED: restore point %s cannot be read.\n", out_get(point, "id"));
        return;
    }
    fprintf(f, "DAMAGED: restore point %.12s of %s", out_get(point, "id"), out_get(point, "time"));
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
    json_array_foreach (damaged, i, p)
        damaged_point(f, p);
    if (json_array_size(damaged) && json_array_size(whole))
        fprintf(f, "The other %zu restore points are whole.\n", json_array_size(whole));
}

void render_verify(FILE *f, const json_t *report, bool verbose)
{
    uint64_t count = out_number(report, "count");
    bool one = json_is_string(json_object_get(report, "point"));

    (void)verbose;
    render_findings(f, report);
    fprintf(f, "%s%.12s: ", one ? "Restore point " : "Repository", one ? out_get(report, "point") : "");
    if (count)
        fprintf(f, "DAMAGED, %llu findings.\n", (unsigned long long)count);
    else
        fputs("everything was read back and is as it was written.\n", f);
}
