/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM needs of its host: files that are not its own, secrets, a QEMU that knows its machine. A host that lacks them is told of
 * before anything is restored, not when the VM is started. */
#include "base/buf.h"
#include "base/strv.h"
#include "hypervisor/definition.h"
#include "hypervisor/internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static int no_memory(struct err *err)
{
    return err_errno(err, ENOMEM, "cannot look at what the definition needs");
}

static int missing_files(const struct hv_def *def, char ***missing, struct err *err)
{
    static const char *const places[][2] = {
        { "os/loader", "firmware" }, { "os/nvram/@template", "template of the NVRAM" }, { "os/kernel", "kernel" },
        { "os/initrd", "initrd" }, { "os/dtb", "device tree" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        _cleanup_free_ char *path = xml_get(def->root, places[i][0]);
        if (path && path[0] == '/' && access(path, F_OK) < 0 && strv_addf(missing, "%s %s", places[i][1], path) < 0)
            return no_memory(err);
    }
    return 0;
}

/* ---- Secrets ----------------------------------------------------------------------------------------------------------------*/

/* By usage a secret is found only with what it is used for. Disks' encryption says "passphrase", which is of volumes. */
static virSecretPtr find_secret(struct hv *hv, const char *uuid, const char *usage, const char *type)
{
    if (uuid)
        return virSecretLookupByUUIDString(hv->conn, uuid);
    int kind = type && !strcmp(type, "ceph") ? VIR_SECRET_USAGE_TYPE_CEPH :
               type && !strcmp(type, "iscsi") ? VIR_SECRET_USAGE_TYPE_ISCSI : VIR_SECRET_USAGE_TYPE_VOLUME;
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
            return no_memory(err);
    }
    return n < 0 ? err_set(err, -n, "cannot look at the secrets of the definition") : 0;
}

int hv_def_missing(struct hv *hv, const struct hv_def *def, char ***ret, struct err *err)
{
    _cleanup_strv_ char **missing = NULL;

    int r = missing_files(def, &missing, err);
    if (r == 0 && hv)
        r = missing_secrets(hv, def, &missing, err);
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

int hv_def_check_machine(struct hv *hv, const struct hv_def *def, struct err *err)
{
    _cleanup_free_ char *emulator = xml_get(def->root, "devices/emulator"), *gone = hv_def_missing_emulator(def);
    _cleanup_free_ char *type = xml_attr(def->root, "type"), *arch = xml_get(def->root, "os/type/@arch");
    _cleanup_free_ char *machine = xml_get(def->root, "os/type/@machine");
    _cleanup_free_ char *found = virConnectGetDomainCapabilities(hv->conn, gone ? NULL : emulator, arch, machine, type, 0);

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
