/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/guid.h"
#include "hypervisor/domain/domain_state.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>

#define LIBVIRT_BACK_MS 60000u /* for libvirtd to come back */
#define LIBVIRT_POLL_MS 200u
#define CHECKPOINT_TRIES 5
#define CHECKPOINT_POLL_MS 40u

void hv_domain_free(struct hv_domain *d)
{
    if (!d)
        return;
    hv_pool_leave(d);
    patient_line_free(d->line);
    if (d->handle)
        virDomainFree(d->handle);
    for (size_t i = 0; i < d->n_disks; i++)
        hv_disk_clear(&d->disks[i]);
    for (size_t i = 0; i < d->n_later; i++)
        hv_disk_clear(&d->later[i]);
    for (size_t i = 0; i < d->n_nics; i++)
        hv_nic_clear(&d->nics[i]);
    free(d->disks);
    free(d->later);
    free(d->nics);
    strv_free(d->passthrough);
    strv_free(d->unsaveable);
    hv_beside_clear(d);
    strv_free(d->checkpoints);
    char *strings[] = { d->name, d->uuid, d->title, d->state_detail, d->xml, d->nvram, d->nvram_template, d->loader, d->kernel, d->initrd };
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    free(d);
}

static int read_identity(struct hv_domain *d, struct err *err)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    const char *name = virDomainGetName(hv_handle(d));
    int autostart = 0;

    if (!name || virDomainGetUUIDString(hv_handle(d), uuid) < 0)
        return hv_virt_error(err, "cannot read a VM's name");
    d->name = strdup(name);
    d->uuid = strdup(uuid);
    if (!d->name || !d->uuid)
        return err_nomem(err);
    d->persistent = virDomainIsPersistent(hv_handle(d)) == 1;
    d->autostart = d->persistent && virDomainGetAutostart(hv_handle(d), &autostart) == 0 && autostart;
    return 0;
}

int hv_live_xml(struct hv_domain *d, char **ret, struct err *err)
{
    char *xml = virDomainGetXMLDesc(hv_handle(d), VIR_DOMAIN_XML_SECURE);

    if (!xml)
        return hv_virt_error(err, "cannot read the definition of VM %s", d->name);
    *ret = xml;
    return 0;
}

static bool domain_has_qemu(const struct hv_domain *d)
{
    return virDomainIsActive(hv_handle(d)) == 1;
}

/* A saved VM has the devices that its saved state knows. One that cannot be read is told of when the VM is to be started. */
static char *saved_xml(struct hv_domain *d)
{
    char *xml = virDomainManagedSaveGetXMLDesc(hv_handle(d), VIR_DOMAIN_SAVE_IMAGE_XML_SECURE);

    if (!xml)
        log_debug(d->hv->log, "VM %s: the definition in its saved state cannot be read: %s", d->name, virGetLastErrorMessage());
    return xml;
}

int hv_domain_live(struct hv_domain *d, char **ret, struct err *err)
{
    char *xml = NULL;

    if (d->state == HV_SAVED)
        xml = saved_xml(d);
    else if (d->persistent && domain_has_qemu(d) &&
             !(xml = virDomainGetXMLDesc(hv_handle(d), VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE)))
        return hv_virt_error(err, "cannot read the definition that VM %s runs with", d->name);
    *ret = xml;
    return 0;
}

static int read_definition(struct hv_domain *d, enum hv_depth depth, struct err *err)
{
    struct domain_xml_env env = host_env(d->hv);
    _cleanup_free_ char *live = NULL;
    bool active = domain_has_qemu(d);

    d->xml = virDomainGetXMLDesc(hv_handle(d), VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE);
    if (!d->xml)
        return hv_virt_error(err, "cannot read the definition of VM %s", d->name);
    if (active) {
        int r = hv_live_xml(d, &live, err);
        if (r < 0)
            return r;
    } else if (d->state == HV_SAVED) {
        live = saved_xml(d);
    }
    int r = domain_xml_parse(live ? live : d->xml, &env, d, err);
    if (r == 0 && live)
        r = domain_xml_later(d->xml, &env, d, err);
    if (r < 0)
        return err_context(err, "cannot read VM %s", d->name);
    return depth == HV_GLANCE ? domain_storage_glance(d, err) : domain_storage_fill(d, live ? live : d->xml, active, err);
}

/* While a checkpoint is being made, libvirt counts it and does not find it from its parent: the list in order fails (seen with 9.0). That
 * passes in a moment, unless they are made in a loop; then the order is given up. */
static int list_checkpoints(struct hv_domain *d, virDomainCheckpointPtr **ret)
{
    int n = -1;

    for (int i = 0; i < CHECKPOINT_TRIES && n < 0; i++) {
        if (i)
            clock_sleep_ms(CHECKPOINT_POLL_MS);
        n = virDomainListAllCheckpoints(hv_handle(d), ret, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL);
        if (n < 0 && (hv_virt_code() == VIR_ERR_NO_SUPPORT || hv_virt_code() == VIR_ERR_NO_DOMAIN))
            return n;
    }
    return n < 0 ? virDomainListAllCheckpoints(hv_handle(d), ret, 0) : n;
}

int hv_domain_read_checkpoints(struct hv_domain *d, struct err *err)
{
    virDomainCheckpointPtr *list = NULL;
    int n = list_checkpoints(d, &list);
    int r = 0;

    if (n < 0) {
        if (hv_virt_code() == VIR_ERR_NO_SUPPORT)
            return 0;
        return hv_virt_error(err, "cannot list the checkpoints of VM %s", d->name);
    }
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = strv_add(&d->checkpoints, virDomainCheckpointGetName(list[i]));
        virDomainCheckpointFree(list[i]);
    }
    free(list);
    d->n_checkpoints = strv_len(d->checkpoints);
    return r < 0 ? err_errno(err, -r, "cannot list the checkpoints of VM %s", d->name) : 0;
}

int hv_domain_build(struct hv *hv, virDomainPtr handle, enum hv_depth depth, struct hv_domain **ret, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);

    if (!d) {
        virDomainFree(handle);
        return err_nomem(err);
    }
    d->handle = handle;
    d->hv = hv;
    int r = read_identity(d, err);
    if (r == 0)
        r = hv_domain_refresh_state(d, err);
    if (r == 0)
        r = read_definition(d, depth, err);
    if (r == 0 && depth == HV_WHOLE)
        r = hv_domain_read_checkpoints(d, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(d);
    return 0;
}

static int domain_look_up(struct hv *hv, const char *name_or_uuid, virDomainPtr *ret, struct err *err)
{
    virDomainPtr handle = NULL;

    if (guid_parse(name_or_uuid, NULL))
        handle = virDomainLookupByUUIDString(hv->conn, name_or_uuid);
    if (!handle)
        handle = virDomainLookupByName(hv->conn, name_or_uuid);
    if (!handle && hv_virt_code() == VIR_ERR_NO_DOMAIN)
        return err_set(err, ENOENT, "there is no VM %s at %s", name_or_uuid, hv->uri);
    if (!handle)
        return hv_virt_error(err, "cannot look up VM %s at %s", name_or_uuid, hv->uri);
    *ret = handle;
    return 0;
}

/* What was done to a VM must be undone also when libvirtd is restarted in between. */
static int look_up_patiently(struct hv *hv, const char *name_or_uuid, virDomainPtr *ret, struct err *err)
{
    uint64_t end = clock_mono_ms() + LIBVIRT_BACK_MS;

    for (;;) {
        int r = domain_look_up(hv, name_or_uuid, ret, err);
        if (r >= 0 || r == -ENOENT || virConnectIsAlive(hv->conn) == 1 || clock_mono_ms() >= end)
            return r;
        if (hv_reconnect(hv, NULL) < 0)
            clock_sleep_ms(LIBVIRT_POLL_MS);
    }
}

int hv_domain_find(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = calloc(1, sizeof *d);
    virDomainPtr handle = NULL;

    if (!d)
        return err_nomem(err);
    d->hv = hv;
    int r = look_up_patiently(hv, name_or_uuid, &handle, err);
    d->handle = handle;
    if (r == 0)
        r = read_identity(d, err);
    if (r == 0)
        r = hv_domain_refresh_state(d, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(d);
    return 0;
}

int hv_domain_get(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err)
{
    virDomainPtr handle = NULL;
    int r = look_up_patiently(hv, name_or_uuid, &handle, err);

    return r < 0 ? r : hv_domain_describe(hv, handle, HV_WHOLE, ret, err);
}

int hv_domain_glance(struct hv *hv, const char *name_or_uuid, struct hv_domain **ret, struct err *err)
{
    virDomainPtr handle = NULL;
    int r = look_up_patiently(hv, name_or_uuid, &handle, err);

    return r < 0 ? r : hv_domain_describe(hv, handle, HV_GLANCE, ret, err);
}
