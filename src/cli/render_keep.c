/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was done to a repository. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

static unsigned long long keep_number(const json_t *o, const char *key)
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
    static const char *const header[] = { "POINT", "INSTANT", "ACTION", "REASON", "VMS" };
    const json_t *kept = json_object_get(report, "kept"), *removed = json_object_get(report, "removed");
    bool dry = json_is_true(json_object_get(report, "dry_run"));
    struct table *t = table_new(header, ARRAY_SIZE(header));
    char points[64];
    size_t i;
    json_t *p;

    json_array_foreach (removed, i, p)
        add_point(t, dry ? "remove" : "removed", p);
    json_array_foreach (kept, i, p)
        if (json_is_string(json_object_get(p, "why")))
            add_point(t, "keep", p);
    table_print(t, f);
    fprintf(f, "%s %s, %zu kept.\n", out_count(json_array_size(removed), "restore point", points), dry ? "would be removed" : "removed",
            json_array_size(kept));
    if (json_is_object(json_object_get(report, "prune")))
        render_prune(f, json_object_get(report, "prune"), verbose);
    else if (!dry && json_array_size(removed))
        fputs("Run kvss prune to free their space.\n", f);
}

/* What a prune has not deleted yet, and why. */
static void render_wait(FILE *f, const json_t *report)
{
    char when[40];

    if (json_is_string(json_object_get(report, "later")))
        fprintf(f, " from %s on, because unused data is kept for a while (--now: free it immediately)", out_time(report, "later", when));
    if (json_is_string(json_object_get(report, "waits_for"))) {
        fputs(json_is_string(json_object_get(report, "later")) ? " and" : ",", f);
        fputs(" once this has finished: ", f);
        out_text(f, out_get(report, "waits_for"));
    }
    fputs(".\n", f);
}

void render_prune(FILE *f, const json_t *report, bool verbose)
{
    bool dry = json_is_true(json_object_get(report, "dry_run"));
    char used[16], unused[16], freed[16], later[16], points[64], chunks[64], packs[64];

    (void)verbose;
    fprintf(f, "%s %s %s, %s; %s in %s not in use.\n", out_count(out_number(report, "points"), "restore point", points),
            num_word(out_number(report, "points"), "uses", "use"), out_count(out_number(report, "chunks"), "chunk", chunks),
            out_size(report, "bytes_used", used), out_size(report, "bytes_unused", unused),
            out_count(out_number(report, "packs"), "pack", packs));
    fprintf(f, "%s %sremoved, %llu %srewritten: %s %sfreed.\n", out_count(out_number(report, "packs_deleted"), "pack", packs),
            dry ? "would be " : "", keep_number(report, "packs_repacked"), dry ? "would be " : "", out_size(report, "bytes_freed", freed),
            dry ? "would be " : "");
    if (out_number(report, "bytes_later")) {
        fprintf(f, "%s more can be freed by a later kvss prune", out_size(report, "bytes_later", later));
        render_wait(f, report);
    }
}

/* ---- fsck, repair ---------------------------------------------------------------------------------------------------------*/

void render_known(FILE *f, const json_t *report)
{
    json_t *id;
    size_t i;

    json_array_foreach (json_object_get(report, "missing"), i, id)
        fprintf(f, "MISSING: restore point %.12s is known to this host and was never forgotten.\n", json_string_value(id));
    json_array_foreach (json_object_get(report, "returned"), i, id)
        fprintf(f, "REAPPEARED: restore point %.12s had been forgotten.\n", json_string_value(id));
    json_array_foreach (json_object_get(report, "unsigned"), i, id)
        fprintf(f, "UNSIGNED: restore point %.12s is not signed by any host.\n", json_string_value(id));
    json_array_foreach (json_object_get(json_object_get(report, "catalogue"), "cut"), i, id)
        fprintf(f, "MISSING: %s.\n", json_string_value(id));
}

void render_fsck(FILE *f, const json_t *report, bool verbose)
{
    char read[16], points[64], chunks[64], packs[64];

    (void)verbose;
    render_findings(f, report);
    fprintf(f, "%s, %s in %s", out_count(out_number(report, "points"), "restore point", points),
            out_count(out_number(report, "chunks"), "chunk", chunks), out_count(out_number(report, "packs"), "pack", packs));
    if (out_number(report, "packs_read"))
        fprintf(f, ", %llu of them read back (%s)", keep_number(report, "packs_read"), out_size(report, "bytes_read", read));
    fputs(".\n", f);
    if (out_number(report, "unused_packs"))
        fprintf(f, "%s %s to a running or interrupted backup; kvss prune removes what is not needed.\n",
                out_count(out_number(report, "unused_packs"), "pack", packs),
                num_word(out_number(report, "unused_packs"), "belongs", "belong"));
    if (out_number(report, "count"))
        fprintf(f, "DAMAGED: %s, %s affected.\n", out_count(out_number(report, "count"), "finding", chunks),
                out_count(out_number(report, "points_damaged"), "restore point", points));
    else
        fputs("OK: no damage found.\n", f);
    render_known(f, report);
}

void render_repair(FILE *f, const json_t *report, bool verbose)
{
    char lost[64], chunks[64], packs[64];

    (void)verbose;
    out_count(out_number(report, "chunks_lost"), "chunk", lost);
    if (json_object_get(report, "packs_mended")) {
        fprintf(f, "%llu of %s damaged; %llu rewritten.\n", keep_number(report, "packs_damaged"),
                out_count(out_number(report, "packs"), "pack", packs), keep_number(report, "packs_mended"));
        if (out_number(report, "chunks_lost"))
            fprintf(f,
                    "DAMAGED: %s cannot be read anywhere; the packs that contain them are kept. Run kvss fsck --read-data to see what is "
                    "affected. To store again what a VM still has: kvss repair index --read-data, then kvss backup --type full.\n",
                    lost);
        return;
    }
    fprintf(f, "Index rebuilt: %s in %s.\n", out_count(out_number(report, "chunks"), "chunk", chunks),
            out_count(out_number(report, "packs"), "pack", packs));
    if (out_number(report, "packs_damaged"))
        fprintf(f,
                "DAMAGED: %s; %s could not be read and %s left out. Run kvss fsck to see what is affected, and kvss backup --type full to "
                "store again what a VM still has.\n",
                out_count(out_number(report, "packs_damaged"), "pack", packs), lost,
                num_word(out_number(report, "chunks_lost"), "was", "were"));
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

    snprintf(points, sizeof(points), "%llu", keep_number(u, "points"));
    const char *cells[] = {
        name,
        points,
        out_size(u, "logical", logical),
        out_size(u, "data", data),
        out_size(u, "unique", unique),
        ratio(u, "data", "unique", dedup),
        out_size(u, "stored", stored),
        ratio(u, "unique", "stored", packed),
        out_size(u, "exclusive", own),
    };
    table_add(t, cells);
}

void render_stats(FILE *f, const json_t *report, bool verbose)
{
    static const char *const header[] = { "VM", "POINTS", "LOGICAL", "DATA", "UNIQUE", "DEDUP", "STORED", "COMPRESSION", "EXCLUSIVE" };
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_t *vm;

    (void)verbose;
    json_array_foreach (json_object_get(report, "vms"), i, vm)
        add_usage(t, json_is_string(json_object_get(vm, "name")) ? out_get(vm, "name") : out_get(vm, "uuid"), vm);
    add_usage(t, "TOTAL", json_object_get(report, "total"));
    table_print(t, f);
}

/* ---- copy, key, unlock ----------------------------------------------------------------------------------------------------*/

void render_copy(FILE *f, const json_t *report, bool verbose)
{
    char points[64];
    size_t i, copied = 0;
    json_t *p;

    (void)verbose;
    json_array_foreach (json_object_get(report, "points"), i, p) {
        bool now = json_is_true(json_object_get(p, "copied"));
        copied += now;
        fprintf(f, "%.12s %s %.12s\n", out_get(p, "id"), now ? "copied:" : "already there:", out_get(p, "copy"));
    }
    fprintf(f, "%zu of %s copied to ", copied, out_count(i, "restore point", points));
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
                                    json_is_true(json_object_get(k, "removed"))   ? "removed, no longer valid"
                                    : json_is_true(json_object_get(k, "current")) ? "in use"
                                                                                  : NULL };
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
    fprintf(f, " %s format version %llu%s\n", json_is_true(json_object_get(report, "upgraded")) ? "upgraded to" : "already has",
            keep_number(report, "version"), n ? ". Keys that open it:" : ".");
    json_array_foreach (json_object_get(report, "keys"), i, k)
        fprintf(f, "  %s\n", json_string_value(k));
}

void render_unlock(FILE *f, const json_t *report, bool verbose)
{
    char removed[64];
    size_t i;
    json_t *l;

    (void)verbose;
    fprintf(f, "%s removed.\n", out_count(out_number(report, "removed"), "lock", removed));
    json_array_foreach (json_object_get(report, "locks"), i, l) {
        fputs("locked by ", f);
        out_text(f, out_get(l, "owner"));
        fprintf(f, " (%.12s)\n", out_get(l, "id"));
    }
}
