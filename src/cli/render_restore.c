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

void render_problems(FILE *f, const json_t *problems)
{
    size_t i;
    json_t *p;

    json_array_foreach (problems, i, p)
        problem(f, p);
}

void render_verify(FILE *f, const json_t *report, bool verbose)
{
    uint64_t count = out_number(report, "count");
    bool one = json_is_string(json_object_get(report, "point"));

    (void)verbose;
    render_problems(f, json_object_get(report, "problems"));
    fprintf(f, "%s%.12s: ", one ? "Restore point " : "Repository", one ? out_get(report, "point") : "");
    if (count)
        fprintf(f, "DAMAGED, %llu findings.\n", (unsigned long long)count);
    else
        fputs("everything was read back and is as it was written.\n", f);
}
