/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss-guest in the guests: where it is, and bringing it there through the guest agent (M2). Its archive holds files only, no folders:
 * where a folder is a symbolic link in the guest, as /usr/sbin may be, what is unpacked goes where that leads. */
#include "base/guid.h"
#include "base/io.h"
#include "requester/session/session.h"
#include <errno.h>
#include <string.h>

#define ARCHIVE_MAX ((size_t)64 << 20)
#define AGENT_MS 10000u
#define UNPACK_MS 300000u /* some megabytes through a serial port */
#define UNPACK_OUT_MAX ((size_t)64 << 10)

/* ---- Looking --------------------------------------------------------------------------------------------------------------*/

static int add_entry(json_t *vms, const struct hv_domain *d, json_t *guest, const char *why, struct err *err)
{
    const char *version = guest ? json_string_value(json_object_get(guest, "version")) : NULL;
    bool installed = guest && !(version && !strcmp(version, VM_WRITER_WINDOWS));
    json_t *o = json_pack("{s:o, s:s, s:b, s:o, s:o}", "name", json_text(d->name), "uuid", d->uuid, "installed", installed, "why",
                          json_text(why), "guest", guest ? guest : json_null());

    return json_array_append_new(vms, o) < 0 ? err_nomem(err) : 0;
}

static int guest_status_of(const struct requester *rq, struct hv_domain *d, json_t *vms, struct err *err)
{
    _cleanup_free_ char *off = NULL;
    struct err why = ERR_INIT;
    json_t *guest = NULL;

    if (d->state != HV_RUNNING) {
        off = str_format("the VM is %s", d->state_detail);
        return off ? add_entry(vms, d, NULL, off, err) : err_nomem(err);
    }
    int r = vm_writer_guest_status(d, rq->config.cancel, &guest, &why);
    if (r == -EINTR || r == -ENOMEM)
        return err_move(err, &why);
    return add_entry(vms, d, guest, r < 0 ? why.text : NULL, err);
}

int requester_guest_status(struct requester *rq, char *const *names, json_t **ret, struct err *err)
{
    _cleanup_(hv_close_p) struct hv *hv = NULL;
    _cleanup_strv_ char **uuids = NULL;
    _cleanup_json_ json_t *vms = json_array();

    rq->end = REQUESTER_DONE;
    int r = vms ? hv_connect(rq, &hv, err) : err_nomem(err);
    if (r >= 0)
        r = select_vms(hv, &(struct vm_selection){ .names = names && *names ? names : NULL }, &uuids, NULL, err);
    for (char **uuid = uuids; r >= 0 && uuid && *uuid; uuid++) {
        _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
        if ((r = job_cancelled(rq, err)) >= 0 && (r = hv_domain_find(hv, *uuid, &d, err)) >= 0)
            r = guest_status_of(rq, d, vms, err);
    }
    if (r >= 0 && !(*ret = json_pack("{s:O}", "vms", vms)))
        r = err_nomem(err);
    return job_end(rq, r, err);
}

/* ---- Installing -----------------------------------------------------------------------------------------------------------*/

static int refuse(struct requester *rq, struct err *err, const struct hv_domain *d, const char *why, const char *archive)
{
    rq->end = REQUESTER_REFUSED;
    return err_set(err, EOPNOTSUPP,
                   "cannot install kvss-guest in VM %s: %s. It can be installed by hand: unpack %s in the guest's root folder", d->name,
                   why, archive);
}

/* Why the agent cannot do it; NULL: it can. */
static const char *agent_lacks(const struct hv_agent_info *info)
{
    if (info->windows)
        return "kvss-guest is for Linux guests; in Windows guests the agent itself asks the guest's VSS writers";
    if (info->can_exec && info->can_write_files)
        return NULL;
    if (info->status != HV_AGENT_OK && info->status != HV_AGENT_NO_FREEZE)
        return info->why ? info->why : "the guest agent does not answer";
    return info->can_exec ? "the guest agent does not allow guest-file-write" : "the guest agent does not allow guest-exec";
}

static int look_at_agent(struct requester *rq, struct hv_domain *d, const char *archive, struct err *err)
{
    struct hv_agent_info info = { 0 };

    if (d->state != HV_RUNNING)
        return refuse(rq, err, d, "the VM is not running", archive);
    int r = hv_agent_probe(d, AGENT_MS, &info, err);
    const char *lacks = r >= 0 ? agent_lacks(&info) : NULL;
    if (lacks)
        r = refuse(rq, err, d, lacks, archive);
    hv_agent_info_clear(&info);
    return r;
}

/* One of the guest's own programs; what it prints is of no interest. */
static int run_there(const struct requester *rq, struct hv_domain *d, const char *path, const char *word, const char *const *more,
                     struct err *err)
{
    const struct hv_agent_run run = { .path = path,
                                      .word = word,
                                      .more = more,
                                      .input = "",
                                      .out_max = UNPACK_OUT_MAX,
                                      .timeout_ms = UNPACK_MS,
                                      .cancel = rq->config.cancel };
    _cleanup_free_ char *out = NULL;
    int status = 0;

    int r = hv_agent_exec(d, &run, &out, &status, err);
    return r >= 0 && status ? err_set(err, EIO, "%s in the guest ended with exit code %d", path, status) : r;
}

/* By way of a file where only root can write, which is removed in any case. */
static int unpack(const struct requester *rq, struct hv_domain *d, const struct buf *archive, struct err *err)
{
    struct guid id = guid_new();
    _cleanup_free_ char *path = str_format("/run/kvss-guest-%s.tar", id.text);
    const char *const options[] = { path, "-C", "/", NULL }, *const remove[] = { path, NULL };
    const struct hv_agent_file file = { path, archive->data, archive->len, UNPACK_MS, rq->config.cancel };

    if (!path)
        return err_nomem(err);
    int r = hv_agent_write(d, &file, err);
    if (r >= 0)
        r = run_there(rq, d, "tar", "-xpf", options, err);
    (void)run_there(rq, d, "rm", "-f", remove, NULL);
    return r < 0 ? err_context(err, "cannot install kvss-guest in VM %s", d->name) : 0;
}

struct guest_archive {
    struct requester *rq;
    const char *path;
    struct buf bytes;
};

static int guest_install(struct hv *hv, const char *uuid, void *arg, json_t *vms, struct err *err)
{
    const struct guest_archive *archive = arg;
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    json_t *guest = NULL;

    int r = hv_domain_find(hv, uuid, &d, err);
    if (r >= 0)
        r = look_at_agent(archive->rq, d, archive->path, err);
    if (r >= 0)
        r = unpack(archive->rq, d, &archive->bytes, err);
    if (r < 0)
        return r;
    r = vm_writer_guest_status(d, archive->rq->config.cancel, &guest, err);
    if (r < 0)
        return err_context(err, "kvss-guest was installed in VM %s and cannot be used", d->name);
    return add_entry(vms, d, guest, NULL, err);
}

int requester_guest_install(struct requester *rq, char *const *names, const char *path, json_t **ret, struct err *err)
{
    struct guest_archive archive = { rq, path ? path : KVSS_GUEST_ARCHIVE, BUF_INIT };

    rq->end = REQUESTER_DONE;
    int r = io_read_file(archive.path, ARCHIVE_MAX, &archive.bytes, err);
    if (r >= 0 && !archive.bytes.len)
        r = err_set(err, EINVAL, "%s is empty", archive.path);
    if (r < 0)
        r = job_end(rq, r, err);
    else
        r = session_each_vm(rq, names, &(struct vm_job){ "guest install", guest_install, &archive }, ret, err);
    buf_free(&archive.bytes);
    return r;
}
