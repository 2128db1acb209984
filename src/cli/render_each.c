/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A backup of VMs one by one, each with a restore point of its own. */
#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/render.h"

static void each_row(struct table *t, const json_t *vm)
{
    const json_t *report = json_object_get(vm, "report"), *of = json_array_get(json_object_get(report, "vms"), 0);
    char id[13], read[16], stored[16], ms[24];
    bool done = json_is_object(report);

    snprintf(id, sizeof(id), "%s", out_get(report, "point"));
    const char *cells[] = {
        out_get(vm, "name"),
        out_get(vm, "result"),
        id,
        out_get(of, "consistency"),
        done ? out_size(report, "read", read) : "-",
        done ? out_size(report, "stored", stored) : "-",
        out_ms(json_object_get(report, "elapsed_ms"), ms),
    };
    table_add(t, cells);
}

/* The last of the reports that has notes of the repository, which all of them share; NULL: none. */
static const json_t *each_noted(const json_t *report)
{
    const json_t *noted = NULL, *vm;
    size_t i;

    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        const json_t *of = json_object_get(vm, "report");
        if (json_is_object(json_object_get(of, "lost")) || json_is_object(json_object_get(of, "unindexed")))
            noted = of;
    }
    return noted;
}

void render_each(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "VM", "RESULT", "POINT", "CONSISTENCY", "READ", "STORED", "TIME" };
    unsigned long long at_once = out_number(report, "at_once");
    size_t i;
    json_t *vm;
    char ms[24], vms[64];

    fprintf(f, "%s, each with a restore point of its own", out_count(json_array_size(json_object_get(report, "vms")), "VM", vms));
    if (at_once > 1)
        fprintf(f, ", up to %llu at a time", at_once);
    fputc('\n', f);
    struct table *t = table_new(header, ARRAY_SIZE(header));
    json_array_foreach (json_object_get(report, "vms"), i, vm)
        each_row(t, vm);
    table_print(t, f);
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        const json_t *error = json_object_get(vm, "error");
        if (json_is_object(json_object_get(vm, "report"))) {
            render_backup_notes(f, json_object_get(vm, "report"));
        } else if (json_is_object(error)) {
            fprintf(f, "%s: %s: ", out_get(vm, "name"), out_get(vm, "result"));
            out_text(f, out_get(error, "text"));
            fputc('\n', f);
        }
    }
    render_repository_notes(f, each_noted(report));
    render_left_out(f, report);
    fprintf(f, "%llu backed up, %llu not, in %s.\n", (unsigned long long)out_number(report, "done"),
            (unsigned long long)out_number(report, "failed"), out_ms(json_object_get(report, "elapsed_ms"), ms));
    (void)verbose;
}
