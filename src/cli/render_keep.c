/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was done to a repository. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

static unsigned long long number(const json_t *o, const char *key)
{
    return (unsigned long long)out_number(o, key);
}

/* ---- forget, prune --------------------------------------------------------------------------------------------------------*/

static char *joined(const json_t *names)
{
    struct buf b = BUF_INIT;
    size_t i;
    json_t *name;

    json_array_foreach (names, i, name)
        buf_addf(&b, "%s%s", i ? ", " : "", json_is_string(name) ? json_string_value(name) : "?");
    return buf_take_str(&b);
}

static void add_point(struct table *t, const char *what, const json_t *p)
{
    _cleanup_free_ char *vms = joined(json_object_get(p, "vms"));
    const char *why = json_is_string(json_object_get(p, "why")) ? out_get(p, "why") : NULL;
    char id[13], at[40];

    snprintf(id, sizeof(id), "%s", out_get(p, "id"));
    out_time(p, json_is_string(json_object_get(p, "instant")) ? "instant" : "time", at);
    const char *cells[] = { id, at, what, why, vms };
    table_add(t, cells);
}

void render_forget(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "POINT", "INSTANT", "", "FOR", "VMS" };
    const json_t *kept = json_object_get(report, "kept"), *removed = json_object_get(report, "removed");
    bool dry = json_is_true(json_object_get(report, "dry_run"));
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_t *p;

    json_array_foreach (removed, i, p)
        add_point(t, dry ? "would go" : "removed", p);
    json_array_foreach (kept, i, p)
        if (json_is_string(json_object_get(p, "why")))
            add_point(t, "kept", p);
    table_print(t, f);
    fprintf(f, "%zu restore points %s, %zu stay.\n", json_array_size(removed), dry ? "would be removed" : "removed",
            json_array_size(kept));
    if (json_is_object(json_object_get(report, "prune")))
        render_prune(f, json_object_get(report, "prune"), verbose);
    else if (!dry && json_array_size(removed))
        fputs("kvss prune gives their space back.\n", f);
}

/* What a prune has not deleted yet, and why. */
static void render_wait(FILE *f, const json_t *report)
{
    char when[40];

    if (json_is_string(json_object_get(report, "later")))
        fprintf(f, ", from %s on: what is no longer in use is kept for a while (--now: it is not)", out_time(report, "later", when));
    if (json_is_string(json_object_get(report, "waits_for"))) {
        fputs(json_is_string(json_object_get(report, "later")) ? ", and" : ",", f);
        fputs(" when this has ended: ", f);
        out_text(f, out_get(report, "waits_for"));
    }
    fputs(".\n", f);
}

void render_prune(FILE *f, const json_t *report, bool verbose)
{
    bool dry = json_is_true(json_object_get(report, "dry_run"));
    char used[16], unused[16], freed[16], later[16];

    (void)verbose;
    fprintf(f, "%llu restore points use %llu chunks, %s; %s in %llu packs %s in use.\n", number(report, "points"),
            number(report, "chunks"), out_size(report, "bytes_used", used), out_size(report, "bytes_unused", unused),
            number(report, "packs"), dry ? "are not" : "were not");
    fprintf(f, "%llu packs %s, %llu %s again: %s %s.\n", number(report, "packs_deleted"), dry ? "would be removed" : "removed",
            number(report, "packs_repacked"), dry ? "written" : "were written", out_size(report, "bytes_freed", freed),
            dry ? "would be freed" : "freed");
    if (out_number(report, "bytes_later")) {
        fprintf(f, "%s more can go by a later kvss prune", out_size(report, "bytes_later", later));
        render_wait(f, report);
    }
}

/* ---- fsck, repair ---------------------------------------------------------------------------------------------------------*/

void render_known(FILE *f, const json_t *report)
{
    json_t *id;
    size_t i;

    json_array_foreach (json_object_get(report, "missing"), i, id)
        fprintf(f, "MISSING: restore point %.12s, which this host knows, and which was not forgotten.\n", json_string_value(id));
    json_array_foreach (json_object_get(report, "returned"), i, id)
        fprintf(f, "BACK: restore point %.12s, which was forgotten.\n", json_string_value(id));
    json_array_foreach (json_object_get(report, "unsigned"), i, id)
        fprintf(f, "UNSIGNED: restore point %.12s, for which no host has signed.\n", json_string_value(id));
    json_array_foreach (json_object_get(json_object_get(report, "catalogue"), "cut"), i, id)
        fprintf(f, "MISSING: %s.\n", json_string_value(id));
}

void render_fsck(FILE *f, const json_t *report, bool verbose)
{
    char read[16];

    (void)verbose;
    render_findings(f, report);
    fprintf(f, "%llu restore points, %llu chunks in %llu packs", number(report, "points"), number(report, "chunks"),
            number(report, "packs"));
    if (out_number(report, "packs_read"))
        fprintf(f, ", %llu of them read back (%s)", number(report, "packs_read"), out_size(report, "bytes_read", read));
    fputs(".\n", f);
    if (out_number(report, "unused_packs"))
        fprintf(f, "%llu packs belong to a backup that runs, or that was interrupted; kvss prune removes what is not needed.\n",
                number(report, "unused_packs"));
    if (out_number(report, "count"))
        fprintf(f, "DAMAGED: %llu findings, %llu restore points are touched.\n", number(report, "count"),
                number(report, "points_damaged"));
    else
        fputs("No damage was found.\n", f);
    render_known(f, report);
}

void render_repair(FILE *f, const json_t *report, bool verbose)
{
    (void)verbose;
    if (json_object_get(report, "packs_mended")) {
        fprintf(f, "%llu of %llu packs are damaged; %llu were written again.\n", number(report, "packs_damaged"),
                number(report, "packs"), number(report, "packs_mended"));
        if (out_number(report, "chunks_lost"))
            fprintf(f, "DAMAGED: %llu chunks cannot be read anywhere; their packs are kept. kvss fsck --read-data shows what they touch; "
                       "after kvss repair index --read-data a backup with --type full stores again what a VM still has.\n",
                    number(report, "chunks_lost"));
        return;
    }
    fprintf(f, "The index was made anew: %llu chunks in %llu packs.\n", number(report, "chunks"), number(report, "packs"));
    if (out_number(report, "packs_damaged"))
        fprintf(f, "DAMAGED: %llu packs; %llu chunks could not be read and are left out. kvss fsck tells what they touch; a backup with "
                   "--type full stores again what a VM still has.\n",
                number(report, "packs_damaged"), number(report, "chunks_lost"));
}

/* ---- stats ----------------------------------------------------------------------------------------------------------------*/

/* "3.1x"; "-" where there is nothing to divide by. */
static const char *ratio(const json_t *o, const char *a, const char *b, char buf[static 16])
{
    uint64_t x = out_number(o, a), y = out_number(o, b);

    if (!x || !y)
        return "-";
    snprintf(buf, 16, "%.1fx", (double)x / (double)y);
    return buf;
}

static void add_usage(struct table *t, const char *name, const json_t *u)
{
    char points[24], logical[16], data[16], unique[16], stored[16], own[16], dedup[16], packed[16];

    snprintf(points, sizeof(points), "%llu", number(u, "points"));
    const char *cells[] = {
        name, points, out_size(u, "logical", logical), out_size(u, "data", data), out_size(u, "unique", unique),
        ratio(u, "data", "unique", dedup), out_size(u, "stored", stored), ratio(u, "unique", "stored", packed),
        out_size(u, "exclusive", own),
    };
    table_add(t, cells);
}

void render_stats(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "VM", "POINTS", "LOGICAL", "DATA", "UNIQUE", "DEDUP", "STORED", "PACKED", "ITS OWN" };
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_t *vm;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, vm)
        add_usage(t, json_is_string(json_object_get(vm, "name")) ? out_get(vm, "name") : out_get(vm, "uuid"), vm);
    add_usage(t, "in all", json_object_get(report, "total"));
    table_print(t, f);
}

/* ---- copy, key, unlock ----------------------------------------------------------------------------------------------------*/

void render_copy(FILE *f, const json_t *report, bool verbose)
{
    size_t i, copied = 0;
    json_t *p;

    (void)verbose;
    json_array_foreach (json_object_get(report, "points"), i, p) {
        bool now = json_is_true(json_object_get(p, "copied"));
        copied += now;
        fprintf(f, "%.12s %s %.12s\n", out_get(p, "id"), now ? "copied:" : "was there already:", out_get(p, "copy"));
    }
    fprintf(f, "%zu of %zu restore points copied to ", copied, i);
    out_text(f, out_get(report, "to"));
    fputs(".\n", f);
}

void render_key(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "KEY", "KIND", "CREATED", "" };
    size_t i;
    json_t *k;

    (void)verbose;
    if (json_is_array(json_object_get(report, "keys"))) {
        struct table *t = table_new(header, ARRAY_SIZE(header));
        json_array_foreach (json_object_get(report, "keys"), i, k) {
            char created[40];
            const char *cells[] = { out_get(k, "id"), out_get(k, "kind"), out_time(k, "created", created),
                                    json_is_true(json_object_get(k, "removed"))   ? "removed: it opens nothing"
                                    : json_is_true(json_object_get(k, "current")) ? "used now" : NULL };
            table_add(t, cells);
        }
        table_print(t, f);
        return;
    }
    if (json_is_string(json_object_get(report, "added")))
        fprintf(f, "Key %s added.\n", out_get(report, "added"));
    if (json_is_string(json_object_get(report, "removed")))
        fprintf(f, "Key %s removed.\n", out_get(report, "removed"));
    json_array_foreach (json_object_get(report, "removed_keys"), i, k)
        fprintf(f, "Key %s removed.\n", json_string_value(k));
    if (json_is_true(json_object_get(report, "rotated")))
        fputs("The repository has a new master key.\n", f);
}

void render_upgrade(FILE *f, const json_t *report, bool verbose)
{
    size_t i, n = json_array_size(json_object_get(report, "keys"));
    json_t *k;

    (void)verbose;
    fputs("Repository ", f);
    out_text(f, out_get(report, "repository"));
    fprintf(f, " %s format version %llu%s\n", json_is_true(json_object_get(report, "upgraded")) ? "now has" : "already has",
            number(report, "version"), n ? ". These keys open it:" : ".");
    json_array_foreach (json_object_get(report, "keys"), i, k)
        fprintf(f, "  %s\n", json_string_value(k));
}

void render_unlock(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *l;

    (void)verbose;
    fprintf(f, "%llu locks removed.\n", number(report, "removed"));
    json_array_foreach (json_object_get(report, "locks"), i, l) {
        fputs("locked by ", f);
        out_text(f, out_get(l, "owner"));
        fprintf(f, " (%.12s)\n", out_get(l, "id"));
    }
}
