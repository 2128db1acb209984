/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GatherWriterMetadata: the Identify event, and what it brought. */
#include "base/par.h"
#include "vss/dispatch.h"
#include "vss/session_state.h"
#include "vss/vss_text.h"
#include <errno.h>
#include <string.h>

/* ---- Who is asked ---------------------------------------------------------------------------------------------------------*/

static int name_class(struct vss_session *v, char ***list, const char *id, struct err *err)
{
    struct guid canonical;
    int r = session_check(v, CALL_ENABLE_WRITER, err);

    if (r < 0)
        return r;
    if (!guid_parse(id, &canonical))
        return err_set(err, EINVAL, "'%s' is not a writer GUID", id ? id : "");
    if (strv_has(*list, canonical.text))
        return 0;
    return strv_add(list, canonical.text) < 0 ? err_nomem(err) : 0;
}

int vss_enable_writer_class(struct vss_session *v, const char *writer_id, struct err *err)
{
    return name_class(v, &v->only_classes, writer_id, err);
}

int vss_disable_writer_class(struct vss_session *v, const char *writer_id, struct err *err)
{
    return name_class(v, &v->not_classes, writer_id, err);
}

int vss_disable_writer_instance(struct vss_session *v, const char *instance_id, struct err *err)
{
    return name_class(v, &v->not_instances, instance_id, err);
}

static bool is_enabled(const struct vss_session *v, const struct writer_entry *e)
{
    if (v->only_classes && !strv_has(v->only_classes, e->writer.id))
        return false;
    return !strv_has(v->not_classes, e->writer.id) && !strv_has(v->not_instances, e->instance_id);
}

/* ---- Identify -------------------------------------------------------------------------------------------------------------*/

struct identified {
    struct writer_entry *entry;
    struct kvss_metadata *md; /* NULL: failed */
    struct err err;
};

struct identify_job {
    struct identified *list;
    size_t n;
};

static void identify_job_free(struct identify_job *job)
{
    for (size_t i = 0; i < job->n; i++)
        metadata_free(job->list[i].md);
    free(job->list);
}

static int gather_identify(void *ctx, size_t i, struct err *unused)
{
    struct identified *it = &((struct identify_job *)ctx)->list[i];
    const struct kvss_writer *w = &it->entry->writer;
    _cleanup_metadata_ struct kvss_metadata *md = NULL;

    (void)unused; /* one writer's failure is not the others' */
    if (metadata_new(w->name, w->id, it->entry->instance_id, w->usage, w->source, &md, &it->err) < 0)
        return 0;
    int r = w->identify(it->entry->priv, md, &it->err);
    if (r == 0)
        r = metadata_check(md, &it->err);
    if (r < 0 && it->err.code == 0)
        err_errno(&it->err, -r, "it failed in Identify");
    if (r == 0)
        it->md = TAKE_PTR(md);
    return 0;
}

/* Two writers must not claim one component: files would be taken by the wrong one. The one registered first keeps it. */
static int check_unique(const struct vss_session *v, const struct kvss_metadata *md, struct err *err)
{
    char name[256];

    for (size_t i = 0; i < v->n_members; i++)
        for (size_t k = 0; k < md->info.n_components; k++) {
            const struct vss_component_info *c = &md->info.components[k];
            if (metadata_find(&v->members[i]->md->info, c->logical_path, c->name) >= 0)
                return err_vss(err, VSS_E_OBJECT_ALREADY_EXISTS, EEXIST, "component '%s' already belongs to writer '%s'",
                               text_component(name, sizeof name, c->logical_path, c->name), v->members[i]->entry->writer.name);
        }
    return 0;
}

static int gather_leave_out(struct vss_session *v, const struct identified *it, struct err *err)
{
    struct vss_left_out_writer out = { .name = it->entry->writer.name, .id = it->entry->writer.id };
    uint32_t hresult = it->err.hresult ? it->err.hresult : VSS_E_WRITERERROR_NONRETRYABLE;

    const struct log *log = v->service->config.log;
    if (log_wants(log, LOG_LEVEL_INFO))
        log_error(log, "writer '%s', event Identify: it is skipped: %s (%s, 0x%08x)", out.name, it->err.text, vss_error_symbol(hresult),
                  hresult);
    else
        log_error(log, "writer %s failed to identify itself and is skipped: %s", out.name, it->err.text);
    dispatch_log(v, "Identify", out.name, VSS_WS_FAILED_AT_IDENTIFY, hresult);
    int r = text_keep(&v->strings, it->err.text, &out.text, err);
    if (r < 0)
        return r;
    if (!ARRAY_GROW(v->left_out, v->n_left_out))
        return err_nomem(err);
    v->left_out[v->n_left_out++] = out;
    return 0;
}

static int take_in(struct vss_session *v, struct identified *it, struct err *err)
{
    _cleanup_free_ struct member *m = calloc(1, sizeof *m);

    if (!m || !ARRAY_GROW(v->members, v->n_members))
        return err_nomem(err);
    m->entry = it->entry;
    m->md = TAKE_PTR(it->md);
    m->state = VSS_WS_STABLE;
    v->members[v->n_members++] = TAKE_PTR(m);
    dispatch_log(v, "Identify", it->entry->writer.name, VSS_WS_STABLE, VSS_S_OK);
    return 0;
}

static int gather_collect(struct vss_session *v, struct identify_job *job, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < job->n && r == 0; i++) {
        struct identified *it = &job->list[i];
        if (it->md && check_unique(v, it->md, &it->err) == 0)
            r = take_in(v, it, err);
        else
            r = gather_leave_out(v, it, err);
    }
    return r;
}

/* A call that failed has changed nothing. */
static void gather_forget(struct vss_session *v)
{
    for (size_t i = 0; i < v->n_members; i++) {
        metadata_free(v->members[i]->md);
        free(v->members[i]);
    }
    v->n_members = 0;
    v->n_left_out = 0;
}

static int gather_gather(struct vss_session *v, struct err *err)
{
    _cleanup_free_ struct writer_entry **entries = NULL;
    _cleanup_(identify_job_free) struct identify_job job = { 0 };
    size_t n = 0;
    int r = service_writers(v->service, &entries, &n, err);

    if (r < 0)
        return r;
    job.list = calloc(n + 1, sizeof *job.list);
    if (!job.list)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++)
        if (is_enabled(v, entries[i]))
            job.list[job.n++].entry = entries[i];
    r = par_each(job.n, 0, gather_identify, &job, err);
    if (r == 0)
        r = gather_collect(v, &job, err);
    if (r < 0)
        gather_forget(v);
    return r;
}

/* A restore needs both documents: of every writer in the one, the other. */
static int check_stored(const struct vss_session *v, struct err *err)
{
    for (size_t i = 0; i < v->doc->n_writers; i++) {
        bool found = false;
        for (size_t k = 0; k < v->n_stored; k++)
            found |= guid_equal(v->stored[k]->info.id, v->doc->writers[i]->id);
        if (!found)
            return err_vss(err, VSS_E_OBJECT_NOT_FOUND, ENOENT,
                           "the writer metadata document of writer %s is missing: its components cannot be restored without it",
                           v->doc->writers[i]->id);
    }
    return 0;
}

int vss_gather_writer_metadata(struct vss_session *v, struct err *err)
{
    struct session_step step;
    int r = session_enter(v, CALL_GATHER_WRITER_METADATA, &step, err);

    if (r == 0 && session_is_restore(v))
        r = check_stored(v, err);
    if (r < 0)
        return r;
    r = gather_gather(v, err);
    for (size_t i = 0; r == 0 && session_is_restore(v) && i < v->n_members; i++)
        v->members[i]->bc = components_writer(v->doc, v->members[i]->entry->writer.id);
    return session_leave(v, &step, r);
}

/* ---- What was gathered ----------------------------------------------------------------------------------------------------*/

size_t vss_writer_count(const struct vss_session *v)
{
    return v->n_members;
}

const struct vss_writer_info *vss_writer_get(const struct vss_session *v, size_t i)
{
    return i < v->n_members ? &v->members[i]->md->info : NULL;
}

const struct vss_writer_info *vss_writer_find(const struct vss_session *v, const char *writer_id)
{
    const struct member *m = session_member(v, writer_id);

    return m ? &m->md->info : NULL;
}

size_t vss_left_out_count(const struct vss_session *v)
{
    return v->n_left_out;
}

struct vss_left_out_writer vss_left_out_get(const struct vss_session *v, size_t i)
{
    return i < v->n_left_out ? v->left_out[i] : (struct vss_left_out_writer){ 0 };
}
