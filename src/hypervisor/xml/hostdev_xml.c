/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <hostdev>: devices of the host given to the VM. Those with storage in them cannot be seen by the host and are not backed up (M11). */
#include "hypervisor/xml/domain_xml.h"
#include <errno.h>
#include <string.h>

/* Number out of "0x1f" or "31"; -1 if it is none or too big for an address. */
static long hostdev_xml_number(const char *s)
{
    char *end;

    if (!s || !s[0])
        return -1;
    long n = strtol(s, &end, 0);
    return *end || n < 0 || n > 0xffffff ? -1 : n;
}

static long attribute(xmlNodePtr node, const char *xpath)
{
    _cleanup_free_ char *s = xml_get(node, xpath);

    return hostdev_xml_number(s);
}

static int add_scsi(xmlNodePtr source, char ***v)
{
    _cleanup_free_ char *protocol = xml_attr(source, "protocol");
    _cleanup_free_ char *name = xml_attr(source, "name");
    _cleanup_free_ char *adapter = xml_get(source, "adapter/@name");
    const char *host = adapter && strncmp(adapter, "scsi_host", 9) == 0 ? adapter + 9 : adapter;

    if (protocol)
        return strv_addf(v, "%s %s", protocol, name ? name : "");
    return strv_addf(v, "scsi host %s:%ld:%ld:%ld", host ? host : "?", attribute(source, "address/@bus"),
                     attribute(source, "address/@target"), attribute(source, "address/@unit"));
}

static int add_pci(xmlNodePtr source, const struct domain_xml_env *env, char ***v)
{
    long domain = attribute(source, "address/@domain");
    char address[64];

    snprintf(address, sizeof address, "%04lx:%02lx:%02lx.%lx", domain < 0 ? 0 : domain, attribute(source, "address/@bus"),
             attribute(source, "address/@slot"), attribute(source, "address/@function"));
    int storage = env && env->pci_is_storage ? env->pci_is_storage(env->ctx, address) : -1;
    if (storage == 0)
        return 0;
    /* In doubt it is told: a disk passed over in silence is worse than a warning too many. */
    return strv_addf(v, "pci %s%s", address, storage < 0 ? " (whether it carries storage is not known)" : "");
}

/* By its ids, by its place on the host, or both. */
static int add_usb(xmlNodePtr source, const struct domain_xml_env *env, char ***v)
{
    _cleanup_free_ char *vendor = xml_get(source, "vendor/@id");
    _cleanup_free_ char *product = xml_get(source, "product/@id");
    _cleanup_free_ char *bus = xml_get(source, "address/@bus");
    _cleanup_free_ char *device = xml_get(source, "address/@device");
    int storage = -1;

    if (vendor && product && env && env->usb_is_storage)
        storage = env->usb_is_storage(env->ctx, vendor, product);
    else if (bus && device && env && env->usb_at_is_storage)
        storage = env->usb_at_is_storage(env->ctx, bus, device);
    if (storage == 0)
        return 0;
    const char *doubt = storage < 0 ? " (whether it carries storage is not known)" : "";
    if (vendor && product)
        return strv_addf(v, "usb %s:%s%s", vendor, product, doubt);
    return strv_addf(v, "usb bus %s device %s%s", bus ? bus : "?", device ? device : "?", doubt);
}

static int hostdev_xml_add_one(xmlNodePtr node, const struct domain_xml_env *env, char ***v)
{
    _cleanup_free_ char *mode = xml_attr(node, "mode");
    _cleanup_free_ char *type = xml_attr(node, "type");
    xmlNodePtr source = xml_find(node, "source");

    if (!type || !source)
        return 0;
    if (mode && strcmp(mode, "capabilities") == 0) { /* LXC's way; QEMU has none, but the text may come from anywhere */
        _cleanup_free_ char *block = xml_get(source, "block");
        return strcmp(type, "storage") == 0 ? strv_addf(v, "block %s", block ? block : "") : 0;
    }
    if (strcmp(type, "scsi") == 0)
        return add_scsi(source, v);
    if (strcmp(type, "scsi_host") == 0) {
        _cleanup_free_ char *wwpn = xml_attr(source, "wwpn");
        return strv_addf(v, "scsi target %s", wwpn ? wwpn : "");
    }
    if (strcmp(type, "pci") == 0)
        return add_pci(source, env, v);
    return strcmp(type, "usb") == 0 ? add_usb(source, env, v) : 0;
}

int hostdev_xml_list(xmlNodePtr domain, const struct domain_xml_env *env, char ***v, struct err *err)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(domain, "devices/hostdev", &nodes);

    if (n < 0)
        return err_errno(err, -n, "cannot read the host devices of the definition");
    for (int i = 0; i < n; i++) {
        int r = hostdev_xml_add_one(nodes[i], env, v);
        if (r < 0)
            return err_errno(err, -r, "cannot read the host devices of the definition");
    }
    return 0;
}
