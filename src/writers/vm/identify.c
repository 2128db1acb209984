/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identify: a component per VM, its caption naming the method, its file sets (behaviours 1-3). Changes nothing. */
#include "base/buf.h"
#include "base/io.h"
#include "base/par.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

/* All VMs, examined side by side: a hung agent costs its deadline once. */
struct survey {
    struct vm_writer *w;
    char **names;
    const struct vm_known **vms; /* borrowed; NULL: it is gone */
    size_t n;
};

static void survey_clear(struct survey *s)
{
    free(s->vms);
    strv_free(s->names);
}

static int survey_one(void *ctx, size_t i, struct err *err)
{
    struct survey *s = ctx;
    struct err why = ERR_INIT;

    int r = vm_known_get(s->w, s->names[i], &s->vms[i], &why);
    return r < 0 && r != -ENOENT ? err_move(err, &why) : 0; /* it is gone; who meant it misses its component */
}

static int survey_names(struct survey *s, struct err *err)
{
    struct hv_name *names = NULL;
    size_t n = 0;
    int r = 0;

    if (s->w->config.only)
        return (s->names = strv_copy(s->w->config.only)) || !*s->w->config.only ? 0 : err_nomem(err);
    if ((r = hv_names(s->w->config.hv, &names, &n, err)) < 0)
        return r;
    for (size_t i = 0; i < n && r >= 0; i++)
        if (strv_add(&s->names, names[i].uuid) < 0)
            r = err_nomem(err);
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
    s->vms = calloc(s->n + 1, sizeof(*s->vms));
    if (!s->vms)
        return err_nomem(err);
    return par_each(s->n, 32, survey_one, s, err);
}

/* like: what else is known of the files. */
static int add_file(struct kvss_metadata *md, const char *uuid, const char *path, struct kvss_md_files like, struct err *err)
{
    _cleanup_free_ char *dir = io_dirname(path), *name = io_basename(path);
    struct kvss_md_files files = like;

    if (!dir || !name)
        return err_nomem(err);
    files.kind = KVSS_FILES_GROUP;
    files.path = dir;
    files.filespec = name;
    return kvss_md_add_files(md, "", uuid, &files, err);
}

/* The definition belongs to libvirt, not to a folder of ours: its place is the connection. */
static int identify_add_definition(struct kvss_metadata *md, const struct hv_domain *d, struct err *err)
{
    _cleanup_free_ char *name = str_format("%s.xml", d->name);
    struct kvss_md_files files = { .kind = KVSS_FILES_GROUP, .path = hv_uri(d->hv), .filespec = name };

    if (!name)
        return err_nomem(err);
    return kvss_md_add_files(md, "", d->uuid, &files, err);
}

static int add_file_sets(struct kvss_metadata *md, struct hv_domain *d, const struct vm_report *r, struct err *err)
{
    int rc = identify_add_definition(md, d, err);

    for (size_t i = 0; i < d->n_disks && rc >= 0; i++)
        if (r->disks[i].covered)
            rc = add_file(md, d->uuid, d->disks[i].locator, (struct kvss_md_files){ .vm_disk = d->disks[i].target }, err);
    if (rc >= 0 && d->nvram)
        rc = add_file(md, d->uuid, d->nvram, (struct kvss_md_files){ 0 }, err);
    if (rc >= 0 && (r->method == VM_METHOD_SAVED || d->state == HV_SAVED)) {
        _cleanup_free_ char *path = NULL;
        uint32_t born = r->method == VM_METHOD_SAVED ? VSS_FSBT_DEFAULT | VSS_FSBT_CREATED_DURING_BACKUP : 0;
        if (hv_managed_save_path(d, &path, NULL) >= 0)
            rc = add_file(md, d->uuid, path, (struct kvss_md_files){ .backup_type_mask = born }, err);
    }
    return rc;
}

static int identify_add_vm(struct kvss_metadata *md, struct hv_domain *d, const struct vm_report *r, struct err *err)
{
    const char *how = r->method == VM_METHOD_CHILD   ? "Backup Using Child Partition Snapshot"
                      : r->method == VM_METHOD_LIVE  ? "Backup Using Live State"
                      : r->method == VM_METHOD_CRASH ? "Backup Using Crash-Consistent Snapshot"
                                                     : "Backup Using Saved State";
    _cleanup_free_ char *caption = str_format("%s\\%s", how, d->name);
    const struct kvss_md_component c = {
        .type = VSS_CT_FILEGROUP,
        .name = d->uuid,
        .caption = caption,
        .vm_name = d->name,
        .restore_metadata = true,
        .notify_on_backup_complete = true,
        .selectable = true,
        .selectable_for_restore = true,
        .flags = VSS_CF_BACKUP_RECOVERY | VSS_CF_NOT_SYSTEM_STATE,
    };

    if (!caption)
        return err_nomem(err);
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
        r = kvss_md_set_backup_schema(md, VSS_BS_INCREMENTAL | VSS_BS_DIFFERENTIAL | VSS_BS_COPY | VSS_BS_WRITER_SUPPORTS_NEW_TARGET, err);
    for (size_t i = 0; i < s.n && r >= 0; i++)
        if (s.vms[i])
            r = identify_add_vm(md, s.vms[i]->dom, &s.vms[i]->report, err);
    return r;
}
