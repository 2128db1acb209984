/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it stands with the backups: one screen, or one line for monitoring. */
#include "base/cleanup.h"
#include "base/num.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

#define CELL_LEN 48

/* A column: its heading, and what a VM has there. */
struct status_column {
    const char *heading;
    const char *(*cell)(const json_t *vm, char buf[static CELL_LEN]);
};

static const char *status_name(const json_t *vm, char buf[static CELL_LEN])
{
    (void)buf;
    return out_get(vm, "name");
}

static const char *status_state(const json_t *vm, char buf[static CELL_LEN])
{
    (void)buf;
    return json_is_string(json_object_get(vm, "state")) ? out_get(vm, "state") : "not here";
}

static const char *status_point(const json_t *vm, char buf[static CELL_LEN])
{
    snprintf(buf, 13, "%s", out_get(vm, "point"));
    return buf;
}

static const char *status_age(const json_t *vm, char buf[static CELL_LEN])
{
    return out_age(json_object_get(vm, "age_s"), buf);
}

static const char *status_level(const json_t *vm, char buf[static CELL_LEN])
{
    (void)buf;
    return out_get(vm, "consistency");
}

static const char *status_points(const json_t *vm, char buf[static CELL_LEN])
{
    snprintf(buf, CELL_LEN, "%llu", (unsigned long long)out_number(vm, "points"));
    return buf;
}

static const char *status_remark(const json_t *vm, char buf[static CELL_LEN])
{
    if (json_is_string(json_object_get(vm, "excluded"))) {
        snprintf(buf, CELL_LEN, "excluded by %.30s", out_get(vm, "excluded"));
        return buf;
    }
    return out_number(vm, "points") ? "" : "NO RESTORE POINT";
}

static const struct status_column columns[] = {
    { "VM", status_name }, { "STATE", status_state },       { "NEWEST POINT", status_point },
    { "AGE", status_age }, { "CONSISTENCY", status_level }, { "POINTS", status_points },
    { "", status_remark },
};

static void status_table(FILE *f, const json_t *report)
{
    const char *cells[ARRAY_SIZE(columns)];
    char bufs[ARRAY_SIZE(columns)][CELL_LEN];
    size_t i;
    json_t *vm;

    for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
        cells[c] = columns[c].heading;
    struct table *t = table_new(cells, ARRAY_SIZE(columns));
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
            cells[c] = columns[c].cell(vm, bufs[c]);
        table_add(t, cells);
    }
    table_print(t, f);
}

static void status_of_repository(FILE *f, const json_t *r)
{
    char points[64], have[16], total[16];

    fputs("Repository ", f);
    out_text(f, out_get(r, "path"));
    fprintf(f, ": %s", out_count(out_number(r, "points"), "restore point", points));
    if (out_number(r, "protected"))
        fprintf(f, " (%llu protected)", (unsigned long long)out_number(r, "protected"));
    if (json_is_integer(json_object_get(r, "free")))
        fprintf(f, ", %s of %s free", out_size(r, "free", have), out_size(r, "total", total));
    size_t unverified = json_array_size(json_object_get(r, "unverified"));
    if (unverified)
        fprintf(f, "\nNever verified by this host: %s (kvss verify)", out_count(unverified, "restore point", points));
    fputc('\n', f);
}

void render_status(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *e;

    (void)verbose;
    status_of_repository(f, json_object_get(report, "repository"));
    fputc('\n', f);
    status_table(f, report);
    if (json_array_size(json_object_get(report, "problems")) || json_array_size(json_object_get(report, "locks")))
        fputc('\n', f);
    json_array_foreach (json_object_get(report, "locks"), i, e)
        if (!json_is_true(json_object_get(e, "stale"))) {
            fputs("in use: ", f);
            out_text(f, out_get(e, "owner"));
            fputc('\n', f);
        }
    json_array_foreach (json_object_get(report, "problems"), i, e) {
        fprintf(f, "%s: ", out_get(e, "level"));
        out_text(f, out_get(e, "text"));
        fputc('\n', f);
    }
}

/* Only what counts: VMs of this host that are not excluded. */
static bool status_counts(const json_t *report, const json_t *vm)
{
    bool here = json_is_string(json_object_get(vm, "state")) || json_is_string(json_object_get(report, "libvirt"));

    return here && !json_is_string(json_object_get(vm, "excluded"));
}

/* "2 VMs, all backed up within the last 27 hours" */
static void status_oldest(FILE *f, unsigned long long vms, unsigned long long without, unsigned long long oldest_s)
{
    unsigned long long hours = (oldest_s + 3599) / 3600;
    char count[64], within[64];

    fputs(out_count(vms, "VM", count), f);
    if (vms == without) {
        fputs(vms > 1 ? ", none with a restore point" : vms ? ", without a restore point" : "", f);
        return;
    }
    if (without)
        fprintf(f, ", %llu without a restore point, the others", without);
    fprintf(f, "%s backed up within the last %s",
            without    ? ""
            : vms == 1 ? ","
                       : ", all",
            hours > 1 ? out_count(hours, "hour", within) : "hour");
}

/* "KVSS WARNING - web01 was last backed up 27 hours ago; ... | vms=5 without=0 oldest=97200s points=17 free=123B" */
void render_status_line(FILE *f, const json_t *report, bool verbose)
{
    const json_t *repository = json_object_get(report, "repository"), *problems = json_object_get(report, "problems");
    unsigned long long vms = 0, without = 0, oldest = 0;
    bool critical = false;
    size_t i;
    json_t *e;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, e) {
        unsigned long long age = out_number(e, "age_s");
        bool counts = status_counts(report, e);
        vms += counts;
        without += counts && !out_number(e, "points");
        oldest = counts && age > oldest ? age : oldest;
    }
    json_array_foreach (problems, i, e)
        critical |= !strcmp(out_get(e, "level"), "critical");
    fprintf(f, "KVSS %s - ", critical ? "CRITICAL" : json_array_size(problems) ? "WARNING" : "OK");
    for (int level = 1; level >= 0; level--) /* critical ones first */
        json_array_foreach (problems, i, e)
            if ((strcmp(out_get(e, "level"), "critical") == 0) == (level == 1)) {
                out_text(f, out_get(e, "text"));
                fputs("; ", f);
            }
    status_oldest(f, vms, without, oldest);
    fprintf(f, " | vms=%llu without=%llu oldest=%llus points=%llu", vms, without, oldest,
            (unsigned long long)out_number(repository, "points"));
    if (json_is_integer(json_object_get(repository, "free")))
        fprintf(f, " free=%lluB", (unsigned long long)out_number(repository, "free"));
    fputc('\n', f);
}
