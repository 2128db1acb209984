/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM needs of its host: files that are not its own, secrets, networks, a QEMU that knows its machine. A host that lacks them is told
 * of before anything is restored or saved, not when the VM is started. */
#include "base/buf.h"
#include "base/strv.h"
#include "hypervisor/xml/definition.h"
#include "hypervisor/image/image.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int missing_files(const struct hv_def *def, char ***missing, struct err *err)
{
    static const char *const places[][2] = {
        { "os/loader", "firmware" }, { "os/nvram/@template", "NVRAM template" }, { "os/kernel", "kernel" }, { "os/initrd", "initrd" },
        { "os/dtb", "device tree" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        _cleanup_free_ char *path = xml_get(def->root, places[i][0]);
        if (path && path[0] == '/' && access(path, F_OK) < 0 && strv_addf(missing, "%s %s", places[i][1], path) < 0)
            return err_nomem(err);
    }
    return 0;
}

static int missing_places(const struct hv_def *def, char ***missing, struct err *err)
{
    struct place_xml *places = NULL;
    int n = places_xml_list(def->root, &places), r = n < 0 ? n : 0;

    for (int i = 0; i < n && r == 0; i++)
        if (!place_is_there(&places[i]) && !strv_has(*missing, places[i].text)) /* a console is a serial port told again */
            r = strv_add(missing, places[i].text);
    if (n >= 0)
        places_xml_free(places, (size_t)n);
    return r < 0 ? err_nomem(err) : 0;
}

/* ---- Filters ----------------------------------------------------------------------------------------------------------------*/

bool needs_filter_missing(struct hv *hv, xmlNodePtr nic, char **ret)
{
    _cleanup_free_ char *name = xml_get(nic, "filterref/@filter");
    virNWFilterPtr filter = name ? virNWFilterLookupByName(hv->conn, name) : NULL;
    bool missing = name && !filter && hv_virt_code() == VIR_ERR_NO_NWFILTER;

    if (filter)
        virNWFilterFree(filter);
    if (missing && ret)
        *ret = TAKE_PTR(name);
    return missing;
}

static int missing_filters(struct hv *hv, const struct hv_def *def, char ***missing, struct err *err)
{
    for (size_t i = 0; i < def->n_nics; i++) {
        _cleanup_free_ char *name = NULL;
        if (needs_filter_missing(hv, def->nic_nodes[i], &name) && (!name || strv_addf(missing, "network filter %s", name) < 0))
            return err_nomem(err);
    }
    return 0;
}

/* ---- Secrets ----------------------------------------------------------------------------------------------------------------*/

/* By usage a secret is found only with what it is used for. Disks' encryption says "passphrase", which is of volumes. */
static virSecretPtr find_secret(struct hv *hv, const char *uuid, const char *usage, const char *type)
{
    if (uuid)
        return virSecretLookupByUUIDString(hv->conn, uuid);
    int kind = type && !strcmp(type, "ceph")    ? VIR_SECRET_USAGE_TYPE_CEPH
               : type && !strcmp(type, "iscsi") ? VIR_SECRET_USAGE_TYPE_ISCSI
                                                : VIR_SECRET_USAGE_TYPE_VOLUME;
    return virSecretLookupByUsage(hv->conn, kind, usage);
}

/* An ephemeral secret is forgotten when its host starts anew, a private one does not show its value. What cannot be found out is not
 * held against the host. */
static bool secret_is_missing(struct hv *hv, const char *uuid, const char *usage, const char *type, bool *ret_no_value)
{
    virSecretPtr secret = find_secret(hv, uuid, usage, type);
    size_t n = 0;

    *ret_no_value = false;
    if (!secret)
        return hv_virt_code() == VIR_ERR_NO_SECRET;
    unsigned char *value = virSecretGetValue(secret, &n, 0);
    *ret_no_value = !value && hv_virt_code() == VIR_ERR_NO_SECRET;
    if (value)
        explicit_bzero(value, n);
    free(value);
    virSecretFree(secret);
    return *ret_no_value;
}

static int missing_secrets(struct hv *hv, const struct hv_def *def, char ***missing, struct err *err)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(def->root, "devices//secret | os//secret | devices//encryption[@secret]", &nodes);

    for (int i = 0; i < n; i++) {
        bool tpm = xmlStrEqual(nodes[i]->name, BAD_CAST "encryption"), no_value;
        _cleanup_free_ char *uuid = xml_attr(nodes[i], tpm ? "secret" : "uuid"), *usage = xml_attr(nodes[i], "usage");
        _cleanup_free_ char *type = xml_attr(nodes[i], "type");
        if ((!uuid && !usage) || !secret_is_missing(hv, uuid, usage, type, &no_value))
            continue;
        _cleanup_free_ char *text = str_format("secret %s%s", uuid ? uuid : usage, no_value ? " (its value)" : "");
        if (!text || (!strv_has(*missing, text) && strv_add(missing, text) < 0))
            return err_nomem(err);
    }
    return n < 0 ? err_set(err, -n, "cannot examine the secrets of the definition") : 0;
}

int hv_def_missing(struct hv *hv, const struct hv_def *def, char ***ret, struct err *err)
{
    _cleanup_strv_ char **missing = NULL;

    int r = missing_files(def, &missing, err);
    if (r == 0)
        r = missing_places(def, &missing, err);
    if (r == 0 && arguments_xml_missing(def->root, &missing) < 0)
        r = err_nomem(err);
    if (r == 0 && hv && hv->local && servers_xml_missing(def->root, &missing) < 0)
        r = err_nomem(err);
    if (r == 0 && hv)
        r = missing_secrets(hv, def, &missing, err);
    if (r == 0 && hv)
        r = missing_filters(hv, def, &missing, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(missing);
    return 0;
}

/* ---- The machine ------------------------------------------------------------------------------------------------------------*/

char *hv_def_missing_emulator(const struct hv_def *def)
{
    char *path = xml_get(def->root, "devices/emulator");

    if (path && path[0] == '/' && access(path, X_OK) < 0)
        return path;
    free(path);
    return NULL;
}

bool hv_emulator_is_listed(struct hv *hv, const char *path)
{
    _cleanup_free_ char *text = virConnectGetCapabilities(hv->conn);
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;
    bool found = false;

    if (!text || xml_parse(text, strlen(text), "libvirt's capabilities", &doc, NULL) < 0)
        return false;
    int n = xml_find_all(xmlDocGetRootElement(doc), "guest/arch//emulator", &nodes);
    for (int i = 0; i < n && !found; i++) {
        _cleanup_free_ char *emulator = xml_get(nodes[i], ".");
        found = emulator && strcmp(emulator, path) == 0;
    }
    return found;
}

int hv_def_check_machine(struct hv *hv, const struct hv_def *def, bool trusted, struct err *err)
{
    _cleanup_free_ char *emulator = xml_get(def->root, "devices/emulator"), *gone = hv_def_missing_emulator(def);
    _cleanup_free_ char *type = xml_attr(def->root, "type"), *arch = xml_get(def->root, "os/type/@arch");
    _cleanup_free_ char *machine = xml_get(def->root, "os/type/@machine");
    bool ask = emulator && !gone && (trusted || hv_emulator_is_listed(hv, emulator));
    _cleanup_free_ char *found = virConnectGetDomainCapabilities(hv->conn, ask ? emulator : NULL, arch, machine, type, 0);

    if (found || hv_virt_code() == VIR_ERR_NO_SUPPORT)
        return 0;
    return hv_virt_error(err, "this host cannot run the VM's machine (%s, %s, %s)", type ? type : "no type",
                         arch ? arch : "no architecture", machine ? machine : "no machine type");
}

void hv_def_drop_emulator(struct hv_def *def)
{
    xmlNodePtr devices = xml_find(def->root, "devices");

    if (devices)
        def_remove_child(devices, "emulator");
}

/* ---- A VM that runs, and is to be started again --------------------------------------------------------------------------------*/

/* libvirt itself leaves out the medium of a drive that it may leave out, when the VM comes from a saved state. */
static bool may_be_left_out(const struct def_disk *disk)
{
    _cleanup_free_ char *policy = xml_get(disk->node, "source/@startupPolicy");

    return policy && (strcmp(policy, "optional") == 0 || strcmp(policy, "requisite") == 0);
}

static int needs_add_image(struct hv *hv, const struct hv_def *def, const struct def_disk *disk, const char *gone, char ***lacks)
{
    _cleanup_free_ char *pool = hv_pool_inactive_at(hv, gone);
    const char *what = disk->path && strcmp(gone, disk->path) == 0 ? "" : "backing image of the ";

    if (pool)
        return strv_addf(lacks, "%s, of disk %s, whose storage pool is not active (virsh pool-start %s)", gone, disk->target, pool);
    if (def_is_removable(disk))
        return strv_addf(lacks, "%s, the %smedium in drive %s (virsh change-media %s %s --eject)", gone, what, disk->target, def->name,
                         disk->target);
    return strv_addf(lacks, "%s, the %s of disk %s", gone, what[0] ? "backing image" : "image", disk->target);
}

static int lacking_images(struct hv *hv, const struct hv_def *def, char *const *replaced, char ***lacks)
{
    for (size_t i = 0; i < def->n_disks; i++) {
        const struct def_disk *disk = &def->disks[i];
        _cleanup_free_ char *gone = NULL;
        if (disk->path && strv_has(replaced, disk->path))
            continue;
        if (def_gone_image(disk, &gone) < 0 || (gone && !may_be_left_out(disk) && needs_add_image(hv, def, disk, gone, lacks) < 0))
            return -ENOMEM;
    }
    return 0;
}

static int lacking_switches(struct hv *hv, const struct hv_def *def, char ***lacks)
{
    for (size_t i = 0; i < def->n_nics; i++) {
        const struct hv_nic *nic = &def->nics[i];
        enum hv_switch state = HV_SWITCH_ACTIVE;
        bool network = strcmp(nic->type, "network") == 0;
        int r = 0;
        /* A bridge that is down takes a new port all the same. */
        if (hv_switch_state(hv, nic, &state, NULL) < 0 || state == HV_SWITCH_ACTIVE || (!network && state == HV_SWITCH_INACTIVE))
            continue;
        if (network && state == HV_SWITCH_INACTIVE)
            r = strv_addf(lacks, "network %s, which is not active (virsh net-start %s)", nic->source, nic->source);
        else
            r = strv_addf(lacks, "%s %s, of network interface %s", network ? "network" : "bridge or device", nic->source, nic->mac);
        if (r < 0)
            return r;
    }
    return 0;
}

static int lacking_pools(struct hv *hv, const struct hv_def *def, char ***lacks)
{
    for (size_t i = 0; i < def->n_disks; i++) {
        _cleanup_free_ char *pool = xml_get(def->disks[i].node, "source/@pool");
        if (pool && !hv_pool_is_active(hv, pool) &&
            strv_addf(lacks, "storage pool %s of disk %s, which is not active (virsh pool-start %s)", pool, def->disks[i].target, pool) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int lacking(struct hv *hv, const struct hv_def *def, char *const *replaced, char ***lacks, struct err *err)
{
    _cleanup_strv_ char **missing = NULL;
    _cleanup_free_ char *emulator = hv_def_missing_emulator(def);

    int r = hv_def_missing(hv, def, &missing, err);
    if (r < 0)
        return r;
    for (char **m = missing; m && *m; m++)
        if (strv_add(lacks, *m) < 0)
            return err_nomem(err);
    if ((emulator && strv_addf(lacks, "emulator %s", emulator) < 0) || lacking_images(hv, def, replaced, lacks) < 0 ||
        lacking_switches(hv, def, lacks) < 0 || lacking_pools(hv, def, lacks) < 0)
        return err_nomem(err);
    return 0;
}

/* What it runs with, or was saved with. Of a transient VM that is what its definition says. */
static int definition_in_use(struct hv_domain *d, char **ret, struct err *err)
{
    bool runs = d->state == HV_RUNNING || d->state == HV_PAUSED;
    int r = hv_domain_live(d, ret, err);

    if (r == 0 && !*ret && runs && !d->persistent && !(*ret = strdup(d->xml)))
        return err_nomem(err);
    return r;
}

int hv_start_lacks(struct hv_domain *d, char *const *replaced, char ***ret, char ***ret_unsure, struct err *err)
{
    _cleanup_(hv_def_free_p) struct hv_def *def = NULL;
    _cleanup_strv_ char **lacks = NULL, **untold = NULL;
    _cleanup_free_ char *xml = NULL;

    *ret = NULL;
    int r = d->hv->local ? definition_in_use(d, &xml, err) : 0;
    if (r < 0 || !xml)
        return r;
    r = hv_def_parse(xml, &def, err);
    if (r == 0)
        r = lacking(d->hv, def, replaced, &lacks, err);
    if (r == 0)
        r = network_disks_lost(d, &lacks, &untold, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(lacks);
    if (ret_unsure)
        *ret_unsure = TAKE_PTR(untold);
    return 0;
}
