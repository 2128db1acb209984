/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Points in time: libvirt's pull backup job. QEMU serves the disks as they were at its start over NBD and keeps what the guest
 * overwrites meanwhile in scratch files. Those are made beforehand: libvirt would make them one after the other, through QEMU,
 * while the guest is frozen. */
#include "base/clock.h"
#include "base/io.h"
#include "base/xml.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/image/image.h"
#include "hypervisor/host/host.h"
#include "hypervisor/job/checkpoint.h"
#include "hypervisor/job/new_image.h"
#include <errno.h>
#include <string.h>

#define SETTLE_MS 2000u /* some hundred MiB at most; nobody is held while disks are read */
#define SOCKETS_MAX ((size_t)16 << 20)
#define CONNECTED 3u /* SS_CONNECTED, as /proc/net/unix tells it */
/* libvirt takes note of a job's end behind other news of any VM, and each of an agent's channel can hold it up for 30 s (agent.c). */
#define END_TIMEOUT_MS 240000u
#define END_AGAIN_MS 500u
#define END_STEP_MS 5u
#define END_DYING_MS 200u

struct hv_backup_request {
    char *backup_xml, *checkpoint_xml, *checkpoint;
    unsigned flags; /* VIR_DOMAIN_BACKUP_BEGIN_* */
};

void hv_backup_request_free(struct hv_backup_request *r)
{
    if (!r)
        return;
    free(r->backup_xml);
    free(r->checkpoint_xml);
    free(r->checkpoint);
    free(r);
}
DEFINE_CLEANUP(struct hv_backup_request *, hv_backup_request_free)

static const struct hv_backup_disk *backup_job_find_disk(const struct hv_backup *b, const char *target)
{
    for (size_t i = 0; i < b->n_disks; i++)
        if (strcmp(b->disks[i].target, target) == 0)
            return &b->disks[i];
    return NULL;
}

/* libvirt takes disks that are not named as part of the job: each is named, with a yes or a no. */
static void add_backup_disk(xmlNodePtr disks, const char *target, const struct hv_backup_disk *b)
{
    xmlNodePtr disk = xml_add(disks, "disk");

    xml_set(disk, "name", target);
    xml_set(disk, "backup", b ? "yes" : "no");
    if (!b)
        return;
    xml_set(disk, "type", "file");
    xml_set(disk, "exportname", target);
    xml_set(disk, "backupmode", b->since ? "incremental" : "full");
    if (b->since) {
        _cleanup_free_ char *context = hv_dirty_context(target);
        xml_set(disk, "incremental", b->since);
        xml_set(disk, "exportbitmap", context ? strrchr(context, ':') + 1 : "");
    }
    xml_set(xml_add(disk, "driver"), "type", "qcow2");
    xml_set(xml_add(disk, "scratch"), "file", b->scratch);
}

static int backup_text(const struct hv_domain *d, const struct hv_backup *b, char **ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "domainbackup") : NULL;

    if (!root)
        return err_nomem(err);
    xmlDocSetRootElement(doc, root);
    xml_set(root, "mode", "pull");
    xmlNodePtr server = xml_add(root, "server");
    xml_set(server, "transport", "unix");
    xml_set(server, "socket", b->socket);
    xmlNodePtr disks = xml_add(root, "disks");
    for (size_t i = 0; i < d->n_disks; i++)
        add_backup_disk(disks, d->disks[i].target, backup_job_find_disk(b, d->disks[i].target));
    return xml_dump(doc, root, false, ret, err);
}

static int backup_checkpoint_text(const struct hv_domain *d, const struct hv_backup *b, char **ret, struct err *err)
{
    _cleanup_strv_ char **targets = NULL;

    for (size_t i = 0; i < b->n_disks; i++)
        if (b->disks[i].checkpoint && strv_add(&targets, b->disks[i].target) < 0)
            return err_nomem(err);
    return checkpoint_text(d, b->checkpoint, NULL, targets, ret, err);
}

static const struct hv_disk *domain_disk(const struct hv_domain *d, const char *target)
{
    for (size_t i = 0; i < d->n_disks; i++)
        if (strcmp(d->disks[i].target, target) == 0)
            return &d->disks[i];
    return NULL;
}

static int backup_job_check(const struct hv_domain *d, const struct hv_backup *b, struct err *err)
{
    if (b->n_disks == 0)
        return err_set(err, EINVAL, "a backup job of VM %s without disks", d->name);
    if (!strstr(b->socket, HV_BACKUP_MARK))
        return err_set(err, EINVAL, "the socket %s of a backup job must have \"" HV_BACKUP_MARK "\" in its path", b->socket);
    for (size_t i = 0; i < b->n_disks; i++)
        if (!domain_disk(d, b->disks[i].target))
            return err_set(err, ENOENT, "VM %s has no disk %s", d->name, b->disks[i].target);
    return 0;
}

/* An empty scratch file of the disk's size that QEMU may write. */
static int make_scratch(struct hv_domain *d, const struct hv_backup_disk *b, struct err *err)
{
    const struct new_image file = { .path = b->scratch, .what = "scratch file", .size = domain_disk(d, b->target)->size };

    int r = b->made ? 0 : new_image_make(d->hv, &file, err);
    return r < 0 ? err_context(err, "cannot create the scratch file of disk %s of VM %s", b->target, d->name) : 0;
}

static void drop_scratch(const struct hv_backup *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        new_image_drop(b->disks[i].scratch);
}

/* All of them or none: 1 made, 0 left to libvirt, since QEMU is elsewhere or a size is not known. */
static int make_all_scratch(struct hv_domain *d, const struct hv_backup *b, struct err *err)
{
    for (size_t i = 0; i < b->n_disks; i++)
        if (!d->hv->local || domain_disk(d, b->disks[i].target)->size == 0)
            return 0;
    for (size_t i = 0; i < b->n_disks; i++) {
        int r = make_scratch(d, &b->disks[i], err);
        if (r < 0) {
            drop_scratch(b, i);
            return r;
        }
    }
    return 1;
}

int hv_backup_prepare(struct hv_domain *d, const struct hv_backup *b, struct hv_backup_request **ret, struct err *err)
{
    int r = backup_job_check(d, b, err);
    if (r < 0)
        return r;
    hv_pool_enter(d);
    _cleanup_(hv_backup_request_free_p) struct hv_backup_request *req = calloc(1, sizeof *req);
    if (!req)
        return err_nomem(err);
    r = backup_text(d, b, &req->backup_xml, err);
    if (r == 0 && b->checkpoint) {
        r = backup_checkpoint_text(d, b, &req->checkpoint_xml, err);
        req->checkpoint = strdup(b->checkpoint);
        if (r == 0 && !req->checkpoint)
            r = err_nomem(err);
    }
    if (r == 0)
        r = make_all_scratch(d, b, err);
    if (r < 0)
        return r;
    req->flags = r == 1 ? VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL : 0;
    *ret = TAKE_PTR(req);
    return 0;
}

static bool has_checkpoint(struct hv_domain *d, const char *name)
{
    virDomainCheckpointPtr c = virDomainCheckpointLookupByName(hv_handle(d), name, 0);

    if (c)
        virDomainCheckpointFree(c);
    return c;
}

static int begin(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    const struct hv_backup_request *req = arg;

    (void)conn;
    return virDomainBackupBegin(dom, req->backup_xml, req->checkpoint_xml, req->flags) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

static void free_request(void *arg)
{
    hv_backup_request_free(arg);
}

int hv_backup_begin(struct hv_domain *d, struct hv_backup_request **req, struct err *err)
{
    const struct patient_call call = { .fn = begin, .free_arg = free_request, .insists = true };

    int r = patiently(d, &call, (void **)req, err);
    if (r >= 0)
        return 0;
    if (!*req) /* left behind */
        return r;
    /* Only now, so that nothing is asked beforehand while a guest is frozen: libvirt has no code of its own for it. */
    if ((*req)->checkpoint && has_checkpoint(d, (*req)->checkpoint))
        return err_set(err, EEXIST, "cannot start the backup job of VM %s: it already has a checkpoint %s", d->name, (*req)->checkpoint);
    return err_context(err, "cannot start the backup job of VM %s", d->name);
}

/* What a backup job has. */
struct job_parts {
    char **scratch; /* its scratch files */
    char **targets; /* its disks */
    char *socket;
};

static void job_parts_clear(struct job_parts *j)
{
    strv_free(j->scratch);
    strv_free(j->targets);
    free(j->socket);
}

/* The attribute of all elements found; those without it are passed over. */
static int add_attributes(xmlNodePtr root, const char *xpath, const char *name, char ***ret)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(root, xpath, &nodes);
    int r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++) {
        _cleanup_free_ char *value = xml_attr(nodes[i], name);
        r = value ? strv_add(ret, value) : 0;
    }
    return r;
}

enum own_job { JOB_NOT_OURS, JOB_OURS, JOB_BEGINNING, JOB_DYING };

/* Whether a backup job of kvss runs; *parts, where empty so far, is filled. BEGINNING: libvirt is at one of which it
 * does not tell yet whose it is; a call of a process that was killed since goes on in libvirtd. JOB_* or -errno. */
static int own_job(struct hv_domain *d, struct job_parts *parts, struct err *err)
{
    int operation = 0;
    int r = busy_operation(d, &operation, err);

    if (r <= 0)
        return r;
    if (operation != VIR_DOMAIN_JOB_OPERATION_BACKUP)
        return JOB_NOT_OURS;
    _cleanup_free_ char *text = virDomainBackupGetXMLDesc(hv_handle(d), 0);
    _cleanup_xml_ xmlDocPtr doc = NULL;
    if (!text)
        return hv_virt_code() == VIR_ERR_NO_DOMAIN_BACKUP ? JOB_BEGINNING
                                                          : hv_virt_error(err, "cannot read the backup job of VM %s", d->name);
    r = xml_parse(text, strlen(text), "the backup job", &doc, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *socket = xml_get(xmlDocGetRootElement(doc), "server/@socket");
    if (!socket || !strstr(socket, HV_BACKUP_MARK))
        return JOB_NOT_OURS;
    if (!parts->socket)
        parts->socket = TAKE_PTR(socket);
    xmlNodePtr root = xmlDocGetRootElement(doc);
    if (!parts->targets && (add_attributes(root, "disks/disk/scratch", "file", &parts->scratch) < 0 ||
                            add_attributes(root, "disks/disk[@backup='yes']", "name", &parts->targets) < 0))
        return err_nomem(err);
    return JOB_OURS;
}

/* libvirt's one thread for QEMU's events learns of the job's end only after those that came before. A VM that was started from
 * its saved state tells of each of its channels as soon as it runs, and for each the thread waits 30 s because of our job
 * (VIR_JOB_MODIFY_MIGRATION_SAFE is not in the mask of a backup job): meanwhile nobody's job ends. The end of a disk's part by
 * this call is taken note of at once, without that thread. Errors mean nothing: with the first disk libvirt stops the exports
 * and cancels the others. */
static void end_parts(virDomainPtr dom, char *const *targets)
{
    for (; targets && *targets; targets++)
        (void)virDomainBlockJobAbort(dom, *targets, 0);
}

/* arg: its disks. */
static int end_job(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)conn;
    end_parts(dom, arg);
    return virDomainAbortJob(dom) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

static void backup_job_free_targets(void *arg)
{
    strv_free(arg);
}

static int tell_to_end(struct hv_domain *d, char *const *targets, struct err *err)
{
    const struct patient_call call = { .fn = end_job, .free_arg = backup_job_free_targets, .insists = true };
    char **copy = strv_copy(targets);

    if (!copy && strv_len(targets))
        return err_nomem(err);
    int r = patiently(d, &call, (void **)&copy, err);
    strv_free(copy);
    return r < 0 && r != -ETIMEDOUT && r != -EINTR ? err_context(err, "cannot stop the backup job of VM %s", d->name) : r;
}

/* As own_job(); DYING, with why: QEMU does not tell any more, for it has ended, and libvirt has yet to learn of that, behind the
 * events that end_parts() is about. */
static int look_at_job(struct hv_domain *d, struct job_parts *parts, struct err *why, struct err *err)
{
    int active = virDomainIsActive(hv_handle(d));

    if (active == 0 || (active < 0 && hv_virt_code() == VIR_ERR_NO_DOMAIN))
        return JOB_NOT_OURS;
    if (active < 0)
        return hv_virt_error(err, "cannot determine whether VM %s is running", d->name);
    int r = own_job(d, parts, why);
    if (r >= 0)
        return r;
    if (r == -EIO && virDomainIsActive(hv_handle(d)) >= 0)
        return JOB_DYING;
    *err = *why;
    return r;
}

/* Told to end again and again: a job that is just beginning does not listen. */
static int end_own_job(struct hv_domain *d, struct job_parts *parts, struct err *err)
{
    uint64_t deadline = clock_mono_ms() + END_TIMEOUT_MS, next = 0;
    struct err why = ERR_INIT;

    for (;;) {
        uint64_t now = clock_mono_ms();
        int r = look_at_job(d, parts, &why, err);
        if (r < 0 || r == JOB_NOT_OURS)
            return r < 0 ? r : 0;
        if (now > deadline)
            return err_set(err, ETIMEDOUT, "the backup job of VM %s did not stop within %u s%s%s", d->name, END_TIMEOUT_MS / 1000,
                           why.code ? ": " : "", why.text);
        if (r == JOB_OURS && now >= next) {
            r = tell_to_end(d, parts->targets, &why);
            if (r == -ETIMEDOUT || r == -EINTR)
                return err_move(err, &why);
            next = now + END_AGAIN_MS;
        }
        clock_sleep_ms(r == JOB_DYING ? END_DYING_MS : END_STEP_MS);
    }
}

/* Whether someone is connected to it, as far as this network namespace tells. */
static bool has_clients(const char *socket)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t n = strlen(socket);
    char *save = NULL;

    if (io_read_file("/proc/net/unix", SOCKETS_MAX, &text, NULL) < 0)
        return true;
    for (char *line = strtok_r((char *)text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        size_t len = strlen(line);
        unsigned state;
        if (len > n && !strcmp(line + len - n, socket) && sscanf(line, "%*s %*s %*s %*s %*s %x", &state) == 1 && state == CONNECTED)
            return true;
    }
    return false;
}

void hv_backup_settle(struct hv_domain *d)
{
    _cleanup_(job_parts_clear) struct job_parts parts = { 0 };

    if (virDomainIsActive(hv_handle(d)) == 1 && own_job(d, &parts, NULL) == JOB_OURS && has_clients(parts.socket))
        clock_sleep_ms(SETTLE_MS);
}

int hv_backup_end(struct hv_domain *d, struct err *err)
{
    _cleanup_(job_parts_clear) struct job_parts parts = { 0 };

    int r = end_own_job(d, &parts, err);
    for (size_t i = 0; r == 0 && d->hv->local && parts.scratch && parts.scratch[i]; i++)
        r = io_unlink(parts.scratch[i], err);
    return r;
}
