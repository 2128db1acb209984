/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The report of a backup, which is also what listings show of the restore point. */
#include "base/clock.h"
#include "requester/backup/backup.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

/* Entry of a writer in the list, made at its first component. */
static json_t *writer_entry(json_t *list, const struct backup_component *c)
{
    size_t i;
    json_t *w;

    json_array_foreach (list, i, w)
        if (!strcmp(json_get_text(w, "id"), c->writer_id))
            return json_object_get(w, "components");
    w = json_pack("{s:s, s:s, s:[]}", "name", c->writer_name, "id", c->writer_id, "components");
    json_array_append_new(list, w);
    return json_object_get(w, "components");
}

static void add_totals(json_t *report, const struct backup *b)
{
    uint64_t read = 0, stored = 0;

    for (size_t i = 0; i < b->n; i++) {
        const struct vm_record_sums s = vm_record_sums(&b->components[i].record);
        read += b->components[i].read + s.read;
        stored += b->components[i].stored + s.stored;
    }
    json_object_set_new(report, "read", json_integer((json_int_t)read));
    json_object_set_new(report, "stored", json_integer((json_int_t)stored));
    json_object_set_new(report, "elapsed_ms", json_integer((json_int_t)(clock_mono_ms() - b->begun_ms)));
}

/* What of the repository was lost before, and how much of it this backup has stored again. */
static void report_add_lost(json_t *report, struct store *s)
{
    struct store_lost l;

    if (store_lost(s, &l, NULL) >= 0 && l.missing + l.cut > 0)
        json_object_set_new(report, "lost",
                            json_pack("{s:I, s:I, s:s, s:I}", "missing", (json_int_t)l.missing, "cut", (json_int_t)l.cut, "first", l.first,
                                      "stored_again", (json_int_t)l.again));
}

/* Restore points that an index file was removed of: not what this backup needs, which it has stored again. */
static void add_unindexed(json_t *report, struct store *s)
{
    struct store_unindexed u;

    if (store_unindexed(s, &u, NULL) >= 0 && u.points > 0)
        json_object_set_new(report, "unindexed", json_pack("{s:I, s:I}", "packs", (json_int_t)u.packs, "points", (json_int_t)u.points));
}

static const char *provider_name(const struct vss_service *s, const char *id)
{
    for (size_t i = 0; i < vss_provider_count(s); i++)
        if (!strcasecmp(vss_provider_get(s, i).id, id))
            return vss_provider_get(s, i).name;
    return id;
}

int backup_note_copies(struct backup *b, struct err *err)
{
    int r = 0;

    json_decref(b->shadow_copies);
    if (!(b->shadow_copies = json_array()))
        return err_nomem(err);
    for (size_t i = 0; i < vss_snapshot_count(b->s->vss) && r >= 0; i++) {
        struct kvss_snapshot_properties s;
        r = vss_get_snapshot_properties(b->s->vss, i, &s, err);
        if (r >= 0 && json_array_append_new(b->shadow_copies, json_pack("{s:s, s:s, s:o}", "volume", s.volume, "provider",
                                                                        provider_name(b->s->service, s.provider_id), "device",
                                                                        s.device ? json_text(s.device) : json_null())) < 0)
            r = err_nomem(err);
    }
    return r < 0 ? r : 0;
}

/* What was asked for: which VMs a set has may change, and here is why it had these. */
static json_t *selection(const struct requester_backup *job)
{
    const struct requester_policy *p = &job->policy;

    return json_pack("{s:b, s:o, s:o, s:o, s:o}", "all", !job->vms && !p->tags, "set", json_text(job->set), "vms", json_strv(job->vms),
                     "tags", json_strv(p->tags), "states", json_strv(p->states));
}

int backup_report(struct backup *b, json_t **ret, struct err *err)
{
    char host[HOST_NAME_MAX + 1] = "";
    _cleanup_json_ json_t *report = json_object();
    json_t *vms = json_array(), *writers = json_array();
    int r = 0;

    (void)gethostname(host, sizeof(host) - 1);
    json_object_set_new(report, "host", json_text(host));
    json_object_set_new(report, "kvss", json_string(KVSS_VERSION));
    json_object_set_new(report, "connection", json_text(hv_uri(b->s->hv)));
    json_object_set_new(report, "set", json_text(b->set_id));
    json_object_set_new(report, "type", json_text(vss_backup_type_name(b->type)));
    json_object_set_new(report, "asked", json_text(b->asked));
    json_object_set_new(report, "selection", selection(b->job));
    if (b->job->label) /* earlier listings have none */
        json_object_set_new(report, "label", json_text(b->job->label));
    json_object_set_new(report, "attempts", json_deep_copy(b->attempts));
    json_object_set_new(report, "vms", vms);
    json_object_set_new(report, "writers", writers);
    json_object_set(report, "shadow_copies", b->shadow_copies);
    json_object_set(report, "left_out", b->left_out);
    json_object_set(report, "vms_left_out", b->vms_left_out);
    for (size_t i = 0; i < b->n; i++) {
        const struct backup_component *c = &b->components[i];
        if (c->vm)
            r |= json_array_append_new(vms, vm_record_summary(&c->record));
        else
            r |= json_array_append(writer_entry(writers, c), c->report);
    }
    json_object_set_new(report, "instant", json_text(vm_record_listed(json_array_get(vms, 0)).instant)); /* the set has one */
    json_object_set_new(report, "made_us", json_integer(store_made_next(b->rq->store)));
    report_add_lost(report, b->rq->store);
    add_unindexed(report, b->rq->store);
    add_totals(report, b);
    if (r < 0)
        return err_nomem(err);
    *ret = TAKE_PTR(report);
    return 0;
}
