/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writers and providers in the manner of vssadmin; VMs and restore points as tables. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

void render_init(FILE *f, const json_t *report, bool verbose)
{
    (void)verbose;
    fprintf(f, "Repository %s is ready, %s.\n", out_get(report, "repository"),
            json_is_true(json_object_get(report, "encrypted")) ? "encrypted" : "not encrypted");
    if (json_is_true(json_object_get(report, "encrypted")))
        fputs("Store the passphrase or key in a safe place away from this host. If it is lost, the backups cannot be read.\n", f);
}

void render_writers(FILE *f, const json_t *report, bool verbose)
{
    size_t i, k;
    json_t *w, *c;

    json_array_foreach (json_object_get(report, "writers"), i, w) {
        fputs(i ? "\nWriter name: '" : "Writer name: '", f);
        out_text(f, out_get(w, "name"));
        fprintf(f, "'\n   Writer Id: {%s}\n   Writer Instance Id: {%s}\n   State: [%llu] %s\n   Last error: %s\n", out_get(w, "id"),
                out_get(w, "instance_id"), (unsigned long long)out_number(w, "state"), out_get(w, "state_name"), out_get(w, "error_text"));
        json_array_foreach (json_object_get(w, "components"), k, c) {
            if (!verbose)
                break;
            fprintf(f, "   Component: %s  ", out_get(c, "name"));
            out_text(f, out_get(c, "caption"));
            fputc('\n', f);
        }
    }
}

void render_providers(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *p;

    (void)verbose;
    json_array_foreach (json_object_get(report, "providers"), i, p) {
        const char *type = out_get(p, "type");
        char free_text[16];
        fprintf(f, "%sProvider name: '%s'\n   Provider type: %s\n   Provider Id: {%s}\n   Version: %s\n", i ? "\n" : "", out_get(p, "name"),
                !strcmp(type, "system")     ? "System"
                : !strcmp(type, "hardware") ? "Hardware"
                                            : "Software",
                out_get(p, "id"), out_get(p, "version"));
        if (json_is_string(json_object_get(p, "file")))
            fprintf(f, "   File: %s\n", out_get(p, "file"));
        if (json_is_number(json_object_get(p, "free")))
            fprintf(f, "   Free space: %s in %s\n", num_format_size(out_number(p, "free"), free_text), out_get(p, "place"));
        if (json_is_false(json_object_get(p, "usable"))) {
            fputs("   Not usable: ", f);
            out_text(f, out_get(p, "why_not"));
            fputc('\n', f);
        }
    }
    json_array_foreach (json_object_get(report, "not_used"), i, p) {
        fprintf(f, "\nNot loaded: %s\n   Reason: ", out_get(p, "file"));
        out_text(f, out_get(p, "why"));
        fputc('\n', f);
    }
}

/* "web, production" */
static char *tags_of(const json_t *list)
{
    struct buf b = BUF_INIT;
    size_t i;
    json_t *word;

    json_array_foreach (list, i, word)
        buf_addf(&b, "%s%s", i ? ", " : "", json_string_value(word));
    return buf_take_str(&b);
}

void render_vms(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "NAME", "STATE", "DISKS", "SIZE", "UUID", "TAGS" };
    size_t i, k;
    json_t *vm, *d;
    bool tagged = false;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, vm)
        tagged |= json_array_size(json_object_get(vm, "tags")) != 0;
    struct table *t = table_new(header, ARRAY_SIZE(header) - !tagged);
    json_array_foreach (json_object_get(report, "vms"), i, vm) {
        _cleanup_free_ char *tags = tags_of(json_object_get(vm, "tags"));
        uint64_t size = 0;
        char disks[24], total[16];
        json_array_foreach (json_object_get(vm, "disks"), k, d)
            size += out_number(d, "size");
        snprintf(disks, sizeof(disks), "%zu", json_array_size(json_object_get(vm, "disks")));
        const char *cells[] = { out_get(vm, "name"), out_get(vm, "state"), disks, num_format_size(size, total), out_get(vm, "uuid"), tags };
        table_add(t, cells);
    }
    table_print(t, f);
}

void render_hosts(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "HOST", "KEY", "POINTS", "LAST SIGNED", "" };
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_t *h;

    json_array_foreach (json_object_get(report, "hosts"), i, h) {
        char key[65], points[24], time[40];
        snprintf(key, verbose ? sizeof(key) : 17, "%s", out_get(h, "key"));
        snprintf(points, sizeof(points), "%llu", (unsigned long long)out_number(h, "points"));
        const char *what = json_is_true(json_object_get(h, "this_host"))   ? "this host"
                           : json_is_false(json_object_get(h, "believed")) ? "not trusted"
                                                                           : "";
        const char *cells[] = { out_get(h, "name"), key, points, out_time(h, "time", time), what };
        table_add(t, cells);
    }
    table_print(t, f);
    if (out_number(report, "version") < 2)
        fputs("Hosts do not sign their changes in a repository of format version 1; run kvss upgrade for version 2.\n", f);
}

/* "web01 (file-system, without vdb, vdc)" */
static void list_vm(struct buf *b, const json_t *vm)
{
    size_t i;
    json_t *d;

    buf_addf(b, "%s%s (%s", b->len ? ", " : "", out_get(vm, "name"), out_get(vm, "consistency"));
    json_array_foreach (json_object_get(vm, "excluded_disks"), i, d)
        buf_addf(b, ", %s%s", i ? "" : "without ", out_get(d, "target"));
    buf_adds(b, ")");
}

/* "web01 (file-system), app01 (saved-state), Orders: files (application)" */
static char *vm_names(const json_t *point)
{
    struct buf b = BUF_INIT;
    size_t i, k;
    json_t *vm, *w, *c;

    json_array_foreach (json_object_get(point, "vms"), i, vm)
        list_vm(&b, vm);
    json_array_foreach (json_object_get(point, "writers"), i, w)
        json_array_foreach (json_object_get(w, "components"), k, c)
            if (json_is_string(json_object_get(c, "level")))
                buf_addf(&b, "%s%s: %s (%s)", b.len ? ", " : "", out_get(w, "name"), out_get(c, "name"), out_get(c, "level"));
    return buf_take_str(&b);
}

void render_points(FILE *f, const json_t *report, bool verbose)
{
    char unreadable[64];
    static const char *const header[] = { "POINT", "INSTANT", "TYPE", "STORED", "VMS (CONSISTENCY)", "LABEL" };
    size_t i;
    json_t *p;
    bool labels = false;

    json_array_foreach (json_object_get(report, "points"), i, p)
        labels |= json_is_string(json_object_get(p, "label"));
    struct table *t = table_new(header, ARRAY_SIZE(header) - !labels);

    json_array_foreach (json_object_get(report, "points"), i, p) {
        char id[65], instant[40], stored[16], type[48];
        _cleanup_free_ char *vms = vm_names(p);
        snprintf(id, verbose ? sizeof(id) : 13, "%s", out_get(p, "id"));
        out_time(p, json_is_string(json_object_get(p, "instant")) ? "instant" : "time", instant);
        snprintf(type, sizeof(type), "%s%s", out_get(p, "type"), json_is_object(json_object_get(p, "protected")) ? ", protected" : "");
        const char *cells[] = { id, instant, type, out_size(p, "stored", stored), vms, json_string_value(json_object_get(p, "label")) };
        table_add(t, cells);
    }
    table_print(t, f);
    if (out_number(report, "unreadable"))
        fprintf(f, "\n%s cannot be read; run kvss verify to see why.\n",
                out_count(out_number(report, "unreadable"), "restore point", unreadable));
}
