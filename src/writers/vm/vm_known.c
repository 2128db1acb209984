/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMs that a session has examined. Each is examined once (its definition read, its images looked at, its agent and its servers asked);
 * Identify, PrepareForBackup, whoever explains a refusal and kvss check are told the same. What may have changed since, and would make
 * another backup of it, is asked again right before the instant. */
#include "base/buf.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <string.h>

void vm_known_free(struct vm_known *list)
{
    for (struct vm_known *k = list, *next; k; k = next) {
        next = k->next;
        if (k->dom)
            hv_domain_free(k->dom);
        vm_report_clear(&k->report);
        free(k);
    }
}

static struct vm_known *known_find(const struct vm_writer *w, const char *name_or_uuid)
{
    for (struct vm_known *k = w->known; k; k = k->next)
        if (guid_equal(k->dom->uuid, name_or_uuid) || !strcmp(k->dom->name, name_or_uuid))
            return k;
    return NULL;
}

const struct vm_known *vm_known_find(struct vm_writer *w, const char *uuid)
{
    SCOPED_LOCK(&w->lock);
    return known_find(w, uuid);
}

int vm_known_get(struct vm_writer *w, const char *name_or_uuid, const struct vm_known **ret, struct err *err)
{
    if ((*ret = vm_known_find(w, name_or_uuid)))
        return 0;
    struct vm_known *k = calloc(1, sizeof(*k));
    if (!k)
        return err_nomem(err);
    int r = hv_domain_get(w->config.hv, name_or_uuid, &k->dom, err);
    /* Whatever became of an earlier session and its journal. Only a backup has its VMs to itself and may do that. */
    if (r >= 0 && w->config.points)
        r = hv_live_make_sure(k->dom, err);
    if (r >= 0)
        r = vm_examine(w, k->dom, &k->report, err);
    if (r < 0) {
        if (k->dom && r != -EINTR)
            err_context(err, "VM %s", k->dom->name);
        vm_known_free(k);
        return r;
    }
    SCOPED_LOCK(&w->lock);
    k->next = w->known;
    w->known = k;
    *ret = k;
    return 0;
}

int vm_writer_check(struct vm_writer *w, const char *name_or_uuid, const struct vm_report **ret, struct hv_domain **ret_dom,
                    struct err *err)
{
    const struct vm_known *k = NULL;

    int r = vm_known_get(w, name_or_uuid, &k, err);
    if (r < 0)
        return r;
    *ret = &k->report;
    if (ret_dom)
        *ret_dom = k->dom;
    return 0;
}

/* ---- Right before the instant ---------------------------------------------------------------------------------------------------*/

static bool both_same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool all_same(char *const *a, char *const *b)
{
    size_t n = strv_len(a);
    bool same = n == strv_len(b);

    for (size_t i = 0; same && i < n; i++)
        same = !strcmp(a[i], b[i]);
    return same;
}

static const struct hv_disk *disk_of(const struct hv_domain *d, const char *target)
{
    for (size_t i = 0; i < d->n_disks; i++)
        if (!strcmp(d->disks[i].target, target))
            return &d->disks[i];
    return NULL;
}

static bool same_disk(const struct hv_disk *a, const struct hv_disk *b)
{
    return a->device == b->device && a->source == b->source && both_same(a->locator, b->locator) && both_same(a->format, b->format) &&
           a->readonly == b->readonly && a->shareable == b->shareable && a->transient == b->transient && a->slice == b->slice &&
           a->encrypted == b->encrypted;
}

static int disks_still(const struct hv_domain *was, const struct hv_domain *now, struct err *err)
{
    const char *target = NULL, *what = "attached";

    for (size_t i = 0; i < now->n_disks && !target; i++)
        if (!disk_of(was, now->disks[i].target))
            target = now->disks[i].target;
    for (size_t i = 0; i < was->n_disks && !target; i++) {
        const struct hv_disk *disk = disk_of(now, was->disks[i].target);
        if (disk && same_disk(&was->disks[i], disk))
            continue;
        target = was->disks[i].target;
        what = disk ? "changed" : "detached";
    }
    if (target)
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "disk %s was %s after the VM was examined: run the backup again", target,
                       what);
    if (!all_same(was->passthrough, now->passthrough) || was->n_beside != now->n_beside || !both_same(was->nvram, now->nvram) ||
        was->tpm != now->tpm)
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN,
                       "its devices with storage have changed after the VM was examined: run the backup again");
    return 0;
}

/* No images are looked at for it, and no tool is run. */
static int definition_still(struct vm *vm, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *now = NULL;

    int r = hv_domain_glance(vm->writer->config.hv, vm->dom->uuid, &now, err);
    if (r < 0)
        return r;
    if (now->state != vm->before)
        return err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "it was %s and is %s now: run the backup again", hv_state_name(vm->before),
                       hv_state_name(now->state));
    r = disks_still(vm->dom, now, err);
    if (r < 0)
        return r;
    free(vm->dom->xml);
    vm->dom->xml = TAKE_PTR(now->xml);
    return 0;
}

static int agent_still(struct vm *vm, struct err *err)
{
    unsigned ms = vm->writer->config.agent_timeout_ms ? vm->writer->config.agent_timeout_ms : AGENT_QUESTION_MS;
    struct hv_agent_info info = { 0 };

    if (vm->report->method != VM_METHOD_CHILD)
        return 0;
    int r = hv_agent_probe_again(vm->dom, ms, &info, err);
    if (r >= 0 && info.status != HV_AGENT_OK) {
        err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EAGAIN, "the guest can no longer be quiesced: integration-service: %s",
                info.why ? info.why : "the guest agent cannot take part");
        r = vm_not_quiesced(vm, err);
    }
    hv_agent_info_clear(&info);
    return r;
}

int vm_known_still(struct vm *vm, struct err *err)
{
    _cleanup_free_ char *job = NULL;
    bool busy = false;

    int r = definition_still(vm, err);
    if (r >= 0)
        r = hv_domain_busy(vm->dom, &busy, &job, err);
    if (r >= 0 && busy)
        r = err_vss(err, VSS_E_WRITERERROR_RETRYABLE, EBUSY, "the VM is in use by another job (%s): wait for it or end it", job);
    return r < 0 ? r : agent_still(vm, err);
}
