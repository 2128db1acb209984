/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Differencing disks: the end. What the guest has written since must get back into the image, whatever has happened meanwhile: the VM
 * may run on, be off or saved, on the overlay or not. So first it is looked at where it stands. */
#include "base/io.h"
#include "base/io_at.h"
#include "base/xml.h"
#include "base/clock.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/host/host.h"
#include "hypervisor/image/image.h"
#include <errno.h>
#include <string.h>

#define COMMIT_LOOK_MS 5u

/* Where an overlay stands in the chain of a disk. */
enum stands { STANDS_NOWHERE, STANDS_ON_TOP, STANDS_BELOW };

static xmlNodePtr find_target(xmlNodePtr domain, const char *target)
{
    _cleanup_free_ xmlNodePtr *disks = NULL;
    int n = xml_find_all(domain, "devices/disk", &disks);

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *name = xml_get(disks[i], "target/@dev");
        if (name && !strcmp(name, target))
            return disks[i];
    }
    return NULL;
}

/* xml: a definition. */
static int look_in(const char *xml, const struct hv_overlay *o, enum stands *ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;
    int r = xml_parse(xml, strlen(xml), "the definition", &doc, err);
    xmlNodePtr node = r < 0 ? NULL : find_target(xmlDocGetRootElement(doc), o->target);

    *ret = STANDS_NOWHERE;
    for (unsigned depth = 0; node && *ret == STANDS_NOWHERE; depth++, node = xml_find(node, "backingStore")) {
        _cleanup_free_ char *path = xml_get(node, "source/@file");
        if (path && !strcmp(path, o->path))
            *ret = depth ? STANDS_BELOW : STANDS_ON_TOP;
    }
    return r < 0 ? r : 0;
}

/* ---- Of a VM that runs ------------------------------------------------------------------------------------------------------*/

struct commit {
    char *target, *top, *base; /* top, base: NULL where the overlay is the active image */
    uint64_t done;             /* bytes, for who waits; atomic */
};

static void commit_free(void *arg)
{
    struct commit *c = arg;

    if (!c)
        return;
    free(c->target);
    free(c->top);
    free(c->base);
    free(c);
}

/* One that an earlier attempt has begun is gone on with. */
static int commit_start(virDomainPtr dom, const struct commit *c, struct err *err)
{
    unsigned flags = c->top ? 0 : VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | VIR_DOMAIN_BLOCK_COMMIT_SHALLOW;
    int wanted = c->top ? VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT : VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT;
    virDomainBlockJobInfo info;

    int n = virDomainGetBlockJobInfo(dom, c->target, &info, 0);
    if (n < 0)
        return hv_virt_error(err, "libvirt");
    if (n > 0)
        return info.type == wanted ? 0 : err_set(err, EBUSY, "the disk has another block job");
    return virDomainBlockCommit(dom, c->target, c->base, c->top, 0, flags) < 0 ? hv_virt_error(err, "libvirt") : 0;
}

/* 1: go on waiting. */
static int commit_step(virDomainPtr dom, struct commit *c, struct err *err)
{
    virDomainBlockJobInfo info;

    int n = virDomainGetBlockJobInfo(dom, c->target, &info, 0);
    if (n <= 0)
        return n < 0 ? hv_virt_error(err, "libvirt") : 0; /* it has ended; how, the definition tells */
    __atomic_store_n(&c->done, info.cur, __ATOMIC_RELAXED);
    if (c->top || !info.end || info.cur != info.end)
        return 1;
    if (virDomainBlockJobAbort(dom, c->target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) == 0)
        return 0;
    return hv_virt_code() == VIR_ERR_BLOCK_COPY_ACTIVE ? 1 : hv_virt_error(err, "libvirt"); /* not quite ready */
}

static int commit_run(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    int r = commit_start(dom, arg, err);

    (void)conn;
    while (r >= 0 && (r = commit_step(dom, arg, err)) > 0)
        clock_sleep_ms(COMMIT_LOOK_MS);
    return r;
}

/* A guest that writes without end is no reason to give up: as long as something is done, it is waited for. */
static uint64_t commit_done(const void *arg)
{
    return __atomic_load_n(&((const struct commit *)arg)->done, __ATOMIC_RELAXED) >> 20;
}

static int commit_live(struct hv_domain *d, const struct hv_overlay *o, enum stands stands, struct err *err)
{
    const struct patient_call call = { .fn = commit_run, .free_arg = commit_free, .insists = true, .long_job = true, .work = commit_done };
    struct commit *c = calloc(1, sizeof(*c));

    if (c) {
        c->target = strdup(o->target);
        c->top = stands == STANDS_BELOW ? strdup(o->path) : NULL;
        c->base = stands == STANDS_BELOW ? strdup(o->base) : NULL;
    }
    if (!c || !c->target || (stands == STANDS_BELOW && (!c->top || !c->base))) {
        commit_free(c);
        return err_nomem(err);
    }
    int r = patiently(d, &call, (void **)&c, err);
    commit_free(c);
    return r;
}

/* ---- Of one that does not -----------------------------------------------------------------------------------------------------*/

static int point_back(const char *xml, const struct hv_overlay *o, char **ret, struct err *err)
{
    struct hv_def *def = NULL;

    int r = hv_def_parse(xml, &def, err);
    if (r >= 0)
        r = hv_def_set_disk(def, o->target, o->base, o->format, err);
    if (r >= 0)
        r = hv_def_text(def, ret, err);
    hv_def_free(def);
    return r;
}

/* The definition for the next start, where it names the overlay. */
static int redefine_off(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *defined = NULL;
    _cleanup_free_ char *xml = NULL;
    enum stands stands;

    int r = look_in(d->xml, o, &stands, err);
    if (r < 0 || stands == STANDS_NOWHERE)
        return r;
    r = point_back(d->xml, o, &xml, err);
    return r < 0 ? r : hv_define(d->hv, xml, &defined, err);
}

static int redefine_saved(struct hv_domain *d, const char *saved, const struct hv_overlay *o, struct err *err)
{
    _cleanup_free_ char *xml = NULL;

    int r = point_back(saved, o, &xml, err);
    if (r >= 0 && virDomainManagedSaveDefineXML(hv_handle(d), xml, 0) < 0)
        r = hv_virt_error(err, "cannot correct the definition in the saved state of VM %s", d->name);
    return r;
}

static int further_overlay(const struct hv_overlay *o, struct err *err)
{
    return err_set(err, EBUSY, "another overlay was put on %s, which is kvss's own: start the VM, and run: kvss recover", o->path);
}

/* d: off or saved. First the data, then the definitions, so that it can be done again at any point. */
static int end_off(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    _cleanup_free_ char *saved = NULL;
    enum stands in_xml, in_saved = STANDS_NOWHERE;

    int r = look_in(d->xml, o, &in_xml, err);
    if (r >= 0 && d->state == HV_SAVED && !(saved = virDomainManagedSaveGetXMLDesc(hv_handle(d), VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)))
        r = hv_virt_error(err, "cannot read the saved state of VM %s", d->name);
    if (r >= 0 && saved)
        r = look_in(saved, o, &in_saved, err);
    if (r < 0 || (in_xml == STANDS_NOWHERE && in_saved == STANDS_NOWHERE))
        return r;
    if (in_xml == STANDS_BELOW || in_saved == STANDS_BELOW)
        return further_overlay(o, err);
    r = image_commit(o->path, o->base, o->format, err);
    if (r >= 0 && in_saved == STANDS_ON_TOP)
        r = redefine_saved(d, saved, o, err);
    return r < 0 ? r : redefine_off(d, o, err);
}

/* ---- Both -------------------------------------------------------------------------------------------------------------------*/

static int end_once(struct hv_domain *d, const struct hv_overlay *o, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    enum stands stands;

    if (d->state == HV_OFF || d->state == HV_SAVED)
        return end_off(d, o, err);
    int r = hv_live_xml(d, &xml, err);
    if (r >= 0)
        r = look_in(xml, o, &stands, err);
    if (r < 0 || stands == STANDS_NOWHERE)
        return r;
    r = commit_live(d, o, stands, err);
    if (r < 0)
        return r;
    free(TAKE_PTR(xml));
    r = hv_live_xml(d, &xml, err);
    if (r >= 0)
        r = look_in(xml, o, &stands, err);
    if (r >= 0 && stands != STANDS_NOWHERE)
        return err_set(err, EIO, "QEMU could not write it back into %s; is the file system full?", o->base);
    return r;
}

/* Whoever defines the VM anew will have the image; unless it is another one by now. */
static int end_gone(const struct hv_overlay *o, struct err *err)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct io_id now;

    if (!io_exists(o->path))
        return 0;
    int r = io_open_parent(o->base, &dir, &name, err);
    if (r >= 0 && (r = io_id_at(dir, name, &now)) < 0)
        err_errno(err, -r, "cannot access image %s", o->base);
    if (r >= 0 && (!o->base_id || !io_id_same(o->base_id, now.text)))
        r = err_set(err, ESTALE, "the VM no longer exists, and %s is not the image that it had; its last writes are in %s", o->base,
                    o->path);
    return r < 0 ? r : image_commit(o->path, o->base, o->format, err);
}

/* One that stands still because its overlay could not grow. */
static int go_on(struct hv_domain *d, struct err *err)
{
    if (d->state == HV_OFF || d->state == HV_SAVED)
        return 0;
    int r = hv_domain_refresh_state(d, err);
    return r >= 0 && d->io_error ? hv_resume(d, err) : r;
}

int hv_overlay_end(struct hv *hv, const char *uuid, const struct hv_overlay *o, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err why = ERR_INIT;

    int r = hv_domain_glance(hv, uuid, &d, &why);
    if (r == -ENOENT)
        return end_gone(o, err);
    if (r >= 0)
        r = hv_domain_wait_still(d, &why); /* also for a switch to the overlay by a process that has died */
    if (r >= 0)
        r = end_once(d, o, &why);
    if (r >= 0)
        return go_on(d, err);
    err_move(err, &why);
    return err_context(err, "disk %s of VM %s still writes into %s", o->target, d ? d->name : uuid, o->path);
}
