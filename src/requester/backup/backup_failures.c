/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Of an attempt that failed: all that failed in it, not just the first, each with its cause.
 * [ { "name", "uuid" (null: no VM), "event" (null: none of VSS's), "cause" } ] */
#include "requester/backup/backup.h"
#include <errno.h>
#include <string.h>

#define CAUSE_SHOWN 400 /* of each, where there are several */
#define ROOM_FOR_MORE 80

static const char *name_of(const struct backup *b, const char *uuid)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->components[i].vm && !strcmp(b->components[i].name, uuid))
            return backup_vm_name(&b->components[i]);
    return NULL;
}

bool failures_have(const json_t *list, const char *uuid)
{
    size_t i;
    json_t *e;

    json_array_foreach (list, i, e) {
        const char *is = json_get_text(e, "uuid");
        if (is && !strcmp(is, uuid))
            return true;
    }
    return false;
}

/* "cannot be saved: ...", of "VM web01: cannot be saved: ..." */
static const char *without_name(const char *cause, const char *name)
{
    const char *at = !strncmp(cause, "VM ", 3) ? cause + 3 : cause;
    size_t n = strlen(name);

    return !strncmp(at, name, n) && !strncmp(at + n, ": ", 2) ? at + n + 2 : cause;
}

static void add_failure(struct backup *b, const char *name, const char *uuid, const char *event, const char *cause)
{
    if (!b->failures)
        b->failures = json_array();
    json_array_append_new(b->failures, json_pack("{s:o, s:o, s:o, s:o}", "name", json_text(name), "uuid", json_text(uuid), "event",
                                                 json_text(event), "cause", json_text(without_name(cause, name))));
}

static void blame_in(struct backup *b, const char *uuid, const char *event, const char *cause)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    const char *name = name_of(b, uuid);

    if (failures_have(b->failures, uuid))
        return;
    if (!name && b->s && hv_domain_find(b->s->hv, uuid, &d, NULL) >= 0)
        name = d->name;
    add_failure(b, name ? name : uuid, uuid, event, cause);
}

void backup_blame(struct backup *b, const char *uuid, const struct err *why)
{
    blame_in(b, uuid, NULL, why->text);
}

/* ---- What writers say -------------------------------------------------------------------------------------------------------*/

static const char *failed_event(enum vss_writer_state state)
{
    switch (state) {
    case VSS_WS_FAILED_AT_PREPARE_BACKUP: return "PrepareForBackup";
    case VSS_WS_FAILED_AT_PREPARE_SNAPSHOT: return "PrepareForSnapshot";
    case VSS_WS_FAILED_AT_FREEZE: return "Freeze";
    case VSS_WS_FAILED_AT_THAW: return "Thaw";
    case VSS_WS_FAILED_AT_POST_SNAPSHOT: return "PostSnapshot";
    case VSS_WS_FAILED_AT_BACKUP_COMPLETE: return "BackupComplete";
    default: return NULL;
    }
}

/* Of each component that its writer has marked as failed. *ret_n counts them. */
static void add_components(struct backup *b, const struct vss_writer_status *st, size_t *ret_n)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct backup_component *c = &b->components[i];
        struct vss_component_state state;
        if (strcmp(c->writer_id, st->id) || vss_get_component_state(b->s->vss, c->writer_id, c->logical_path, c->name, &state, NULL) < 0 ||
            state.failure == VSS_S_OK)
            continue;
        const char *cause = state.failure_text ? state.failure_text : st->text ? st->text : "no reason given";
        if (c->vm)
            blame_in(b, c->name, failed_event(st->state), cause);
        else
            add_failure(b, c->name, NULL, failed_event(st->state), cause);
        ++*ret_n;
    }
}

static void add_writers(struct backup *b)
{
    struct err ignored = ERR_INIT; /* before there are any they say nothing */

    if (vss_gather_writer_status(b->s->vss, &ignored) < 0)
        return;
    for (size_t i = 0; i < vss_writer_status_count(b->s->vss); i++) {
        struct vss_writer_status st;
        size_t n = 0;
        if (vss_get_writer_status(b->s->vss, i, &st, &ignored) < 0)
            continue;
        add_components(b, &st, &n);
        if (n == 0 && st.hresult != VSS_S_OK)
            add_failure(b, st.name, NULL, failed_event(st.state), st.text ? st.text : "no reason given");
    }
}

void backup_find_failures(struct backup *b, const struct err *why)
{
    _cleanup_free_ char *heavy = NULL;

    if (!b->s || !b->s->vss || b->rq->end != REQUESTER_DONE || par_cancelled(b->rq->config.cancel))
        return;
    (void)vss_check_snapshots(b->s->vss, &heavy, NULL);
    if (heavy) {
        backup_blame(b, heavy, why);
        return; /* the jobs of all were ended for that one: what came after is no fault of theirs */
    }
    add_writers(b);
    for (size_t i = 0; i < b->n_items; i++)
        if (b->items[i].failed && b->item_of[i].component)
            blame_in(b, b->item_of[i].component->name, NULL, b->items[i].failure);
}

/* ---- What is said of them ---------------------------------------------------------------------------------------------------*/

/* "VM web01: cannot be saved", "writer: vetoed", "VM web01 was turned off" */
static char *failure_text(const json_t *f, int max)
{
    const char *name = json_get_text(f, "name"), *cause = json_get_text(f, "cause"), *what = json_get_text(f, "uuid") ? "VM " : "";
    _cleanup_free_ char *begin = str_format("%s%s ", what, name);
    bool named = begin && !strncmp(cause, begin, strlen(begin));

    return named ? str_format("%.*s", max, cause) : str_format("%s%s: %.*s", what, name, max, cause);
}

/* A line for each. What was refused says so itself. */
void backup_tell_failures(const struct backup *b, struct err *err)
{
    size_t i, n = json_array_size(b->failures), told = 0;
    struct err all = { .code = err->code, .hresult = err->hresult };
    size_t len = 0;
    json_t *f;

    if (n == 0 || b->rq->end != REQUESTER_DONE || par_cancelled(b->rq->config.cancel))
        return;
    json_array_foreach (b->failures, i, f) {
        _cleanup_free_ char *line = failure_text(f, n > 1 ? CAUSE_SHOWN : KVSS_ERR_TEXT_MAX);
        if (!line || (i && len + strlen(line) + ROOM_FOR_MORE > sizeof(all.text)))
            break;
        snprintf(all.text + len, sizeof(all.text) - len, "%s%s", i ? "\n" : "", line);
        len = strlen(all.text);
        told++;
    }
    if (told == 0)
        return;
    if (told < n)
        snprintf(all.text + len, sizeof(all.text) - len, "\n... and %zu more (--json lists all)", n - told);
    *err = all;
}
