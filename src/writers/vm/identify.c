/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identify: a component per VM, its caption naming the method, its file sets (behaviours 1-3). Changes nothing. */
#include "base/buf.h"
#include "base/io.h"
#include "base/par.h"
#include "writers/vm/internal.h"
#include <errno.h>
#include <string.h>

/* All VMs, and the reports of those that are to be looked at, made side by side: a hung agent costs its deadline once. */
struct survey {
    struct vm_writer *w;
    char **names;
    struct hv_domain **domains; /* NULL: it is gone */
    size_t n;
    struct vm_report *reports;
};

static void survey_clear(struct survey *s)
{
    for (size_t i = 0; s->reports && i < s->n; i++)
        vm_report_clear(&s->reports[i]);
    free(s->reports);
    for (size_t i = 0; s->domains && i < s->n; i++)
        if (s->domains[i])
            hv_domain_free(s->domains[i]);
    free(s->domains);
    strv_free(s->names);
}

static int survey_one(void *ctx, size_t i, struct err *err)
{
    struct survey *s = ctx;
    struct err why = ERR_INIT;

    int r = hv_domain_get(s->w->config.hv, s->names[i], &s->domains[i], &why);
    if (r == -ENOENT) /* it is gone; who meant it misses its component */
        return 0;
    return r < 0 ? err_move(err, &why) : vm_examine(s->w, s->domains[i], &s->reports[i], err);
}

static int survey_names(struct survey *s, struct err *err)
{
    struct hv_name *names = NULL;
    size_t n = 0;
    int r = 0;

    if (s->w->config.only)
        return (s->names = strv_copy(s->w->config.only)) || !*s->w->config.only ? 0 : err_set(err, ENOMEM, "out of memory");
    if ((r = hv_names(s->w->config.hv, &names, &n, err)) < 0)
        return r;
    for (size_t i = 0; i < n && r >= 0; i++)
        if (strv_add(&s->names, names[i].uuid) < 0)
            r = err_set(err, ENOMEM, "out of memory");
    hv_names_free(names, n);
    return r;
}

/* Only those that are meant are looked at: another one's QEMU may hang. */
static int survey_make(struct survey *s, struct err *err)
{
    int r = survey_names(s, err);

    if (r < 0)
        return r;
    s->n = strv_len(s->names);
    s->domains = calloc(s->n + 1, sizeof(struct hv_domain *));
    s->reports = calloc(s->n + 1, sizeof(*s->reports));
    if (!s->reports || !s->domains)
        return err_set(err, ENOMEM, "out of memory");
    return par_each(s->n, 32, survey_one, s, err);
}

static int remember(struct vm_writer *w, const char *uuid, enum vm_method method, struct err *err)
{
    SCOPED_LOCK(&w->lock);
    for (struct vm_known *k = w->known; k; k = k->next)
        if (!strcmp(k->uuid, uuid)) {
            k->method = method;
            return 0;
        }
    struct vm_known *k = calloc(1, sizeof(*k));
    if (!k || !(k->uuid = strdup(uuid))) {
        free(k);
        return err_set(err, ENOMEM, "out of memory");
    }
    k->method = method;
    k->next = w->known;
    w->known = k;
    return 0;
}

enum vm_method vm_known_method(struct vm_writer *w, const char *uuid)
{
    SCOPED_LOCK(&w->lock);
    for (struct vm_known *k = w->known; k; k = k->next)
        if (!strcmp(k->uuid, uuid))
            return k->method;
    return VM_METHOD_AUTO;
}

static int add_file(struct kvss_metadata *md, const char *uuid, const char *path, uint32_t mask, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(path), *name = io_basename(path);
    struct kvss_md_files files = { .kind = KVSS_FILES_GROUP, .path = dir, .filespec = name, .backup_type_mask = mask };

    if (!dir || !name)
        return err_set(err, ENOMEM, "out of memory");
    return kvss_md_add_files(md, "", uuid, &files, err);
}

/* The definition belongs to libvirt, not to a folder of ours: its place is the connection. */
static int add_definition(struct kvss_metadata *md, const struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *name = str_format("%s.xml", d->name);
    struct kvss_md_files files = { .kind = KVSS_FILES_GROUP, .path = hv_uri(d->hv), .filespec = name };

    if (!name)
        return err_set(err, ENOMEM, "out of memory");
    return kvss_md_add_files(md, "", d->uuid, &files, err);
}

static int add_file_sets(struct kvss_metadata *md, struct hv_domain *d, const struct vm_report *r, struct err *err)
{
    int rc = add_definition(md, d, err);

    for (size_t i = 0; i < d->n_disks && rc >= 0; i++)
        if (r->disks[i].covered)
            rc = add_file(md, d->uuid, d->disks[i].locator, 0, err);
    if (rc >= 0 && d->nvram)
        rc = add_file(md, d->uuid, d->nvram, 0, err);
    if (rc >= 0 && (r->method == VM_METHOD_SAVED || d->state == HV_SAVED)) {
        _cleanup_free_ char *path = NULL;
        uint32_t born = r->method == VM_METHOD_SAVED ? VSS_FSBT_DEFAULT | VSS_FSBT_CREATED_DURING_BACKUP : 0;
        if (hv_managed_save_path(d, &path, NULL) >= 0)
            rc = add_file(md, d->uuid, path, born, err);
    }
    return rc;
}

static int add_vm(struct kvss_metadata *md, struct hv_domain *d, const struct vm_report *r, struct err *err)
{
    const char *how = r->method == VM_METHOD_CHILD ? "Backup Using Child Partition Snapshot" : "Backup Using Saved State";
    _cleanup_free_ char *caption = str_format("%s\\%s", how, d->name);
    const struct kvss_md_component c = {
        .type = VSS_CT_FILEGROUP,
        .name = d->uuid,
        .caption = caption,
        .restore_metadata = true,
        .notify_on_backup_complete = true,
        .selectable = true,
        .selectable_for_restore = true,
        .flags = VSS_CF_BACKUP_RECOVERY | VSS_CF_NOT_SYSTEM_STATE,
    };

    if (!caption)
        return err_set(err, ENOMEM, "out of memory");
    int rc = kvss_md_add_component(md, &c, err);
    return rc < 0 ? rc : add_file_sets(md, d, r, err);
}

int vm_identify(struct vm_writer *w, struct kvss_metadata *md, struct err *err)
{
    _cleanup_(survey_clear) struct survey s = { .w = w };

    int r = survey_make(&s, err);
    if (r < 0)
        return r;
    r = kvss_md_set_restore_method(md, VSS_RME_RESTORE_IF_CAN_REPLACE, NULL, VSS_WRE_ALWAYS, false, err);
    if (r >= 0)
        r = kvss_md_set_backup_schema(md, VSS_BS_INCREMENTAL | VSS_BS_DIFFERENTIAL | VSS_BS_COPY |
                                      VSS_BS_WRITER_SUPPORTS_NEW_TARGET, err);
    for (size_t i = 0; i < s.n && r >= 0; i++) {
        if (!s.domains[i])
            continue;
        r = add_vm(md, s.domains[i], &s.reports[i], err);
        if (r >= 0)
            r = remember(w, s.domains[i]->uuid, s.reports[i].method, err);
    }
    return r;
}
