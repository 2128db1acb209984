/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/host/host.h"
#include "base/io.h"
#include "hypervisor/host/hv_internal.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SYSFS_VALUE_MAX 256u

static void storage_pool_free_p(virStoragePoolPtr *p)
{
    if (*p)
        virStoragePoolFree(*p);
}

static void storage_vol_free_p(virStorageVolPtr *p)
{
    if (*p)
        virStorageVolFree(*p);
}

static void node_device_free_p(virNodeDevicePtr *p)
{
    if (*p)
        virNodeDeviceFree(*p);
}

/* rbd, gluster ...: the volume's key or path is "pool/image". */
static int set_network_volume(virStoragePoolPtr pool, const char *path, struct hv_disk *disk)
{
    _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pool, 0);
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (!xml || xml_parse(xml, strlen(xml), "a storage pool", &doc, NULL) < 0)
        return -EIO;
    disk->protocol = xml_attr(xmlDocGetRootElement(doc), "type");
    disk->locator = disk->protocol ? str_format("%s:%s", disk->protocol, path) : NULL;
    if (!disk->locator) {
        free(TAKE_PTR(disk->protocol));
        return -ENOMEM;
    }
    disk->source = HV_SOURCE_NETWORK;
    return 0;
}

static int set_local_volume(enum hv_disk_source source, const char *path, struct hv_disk *disk)
{
    disk->path = strdup(path);
    disk->locator = strdup(path);
    if (!disk->path || !disk->locator) {
        free(TAKE_PTR(disk->path));
        free(TAKE_PTR(disk->locator));
        return -ENOMEM;
    }
    disk->source = source;
    return 0;
}

/* Of the last failure, in words that tell what to do. An inactive pool knows none of its volumes. NULL: out of memory. */
static char *volume_unfound(virStoragePoolPtr pool, const char *pool_name, const char *volume)
{
    _cleanup_free_ char *said = strdup(virGetLastErrorMessage());
    int code = hv_virt_code();

    if (!pool && code == VIR_ERR_NO_STORAGE_POOL)
        return str_format("there is no storage pool %s, which contains its image as volume %s: define it again (virsh pool-define), then "
                          "virsh pool-start %s",
                          pool_name, volume, pool_name);
    if (pool && virStoragePoolIsActive(pool) == 0)
        return str_format("the storage pool %s, which contains its image as volume %s, is not active: virsh pool-start %s", pool_name,
                          volume, pool_name);
    if (pool && code == VIR_ERR_NO_STORAGE_VOL)
        return str_format("the storage pool %s has no volume %s: if the volume exists, run virsh pool-refresh %s", pool_name, volume,
                          pool_name);
    return str_format("cannot find volume %s of storage pool %s: %s", volume, pool_name, said ? said : "unknown");
}

static int resolve_volume(void *ctx, const char *pool_name, const char *volume, struct hv_disk *disk)
{
    struct hv *hv = ctx;
    virStorageVolInfo info;

    _cleanup_(storage_pool_free_p) virStoragePoolPtr pool = virStoragePoolLookupByName(hv->conn, pool_name);
    _cleanup_(storage_vol_free_p) virStorageVolPtr vol = pool ? virStorageVolLookupByName(pool, volume) : NULL;
    _cleanup_free_ char *path = vol ? virStorageVolGetPath(vol) : NULL;
    if (!path || virStorageVolGetInfo(vol, &info) < 0) {
        disk->unreadable = volume_unfound(pool, pool_name, volume);
        log_debug(hv->log, "disk %s: %s", disk->target, disk->unreadable ? disk->unreadable : "out of memory");
        return -ENOENT;
    }
    if (info.type == VIR_STORAGE_VOL_FILE && path[0] == '/')
        return set_local_volume(HV_SOURCE_FILE, path, disk);
    if (info.type == VIR_STORAGE_VOL_BLOCK && path[0] == '/')
        return set_local_volume(HV_SOURCE_BLOCK, path, disk);
    if (info.type == VIR_STORAGE_VOL_NETWORK)
        return set_network_volume(pool, path, disk);
    disk->unreadable = str_format("volume %s of storage pool %s is of a type that kvss cannot read", volume, pool_name);
    return -EOPNOTSUPP;
}

/* First line of a small file of sysfs. NULL: cannot be read. Caller frees. */
static char *sysfs_value(const char *path)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (io_read_file(path, SYSFS_VALUE_MAX, &b, NULL) < 0)
        return NULL;
    char *s = buf_take_str(&b);
    if (s)
        s[strcspn(s, "\n")] = '\0';
    return s;
}

/* The class code "0x010802" of a PCI device by libvirt, which also knows remote hosts. NULL: not known. */
static char *pci_class_by_libvirt(struct hv *hv, const char *address)
{
    _cleanup_free_ char *name = str_format("pci_%s", address);

    for (char *p = name; p && *p; p++)
        if (*p == ':' || *p == '.')
            *p = '_';
    _cleanup_(node_device_free_p) virNodeDevicePtr dev = name ? virNodeDeviceLookupByName(hv->conn, name) : NULL;
    _cleanup_free_ char *xml = dev ? virNodeDeviceGetXMLDesc(dev, 0) : NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;
    if (!xml || xml_parse(xml, strlen(xml), "a device of the host", &doc, NULL) < 0)
        return NULL;
    return xml_get(xmlDocGetRootElement(doc), "capability[@type='pci']/class");
}

static int pci_is_storage(void *ctx, const char *address)
{
    struct hv *hv = ctx;
    _cleanup_free_ char *class = pci_class_by_libvirt(hv, address);

    if (!class && hv->local) {
        _cleanup_free_ char *path = str_format("/sys/bus/pci/devices/%s/class", address);
        class = path ? sysfs_value(path) : NULL;
    }
    return class ? strncmp(class, "0x01", 4) == 0 : -1; /* base class 01: mass storage controller */
}

/* Whether two values of a USB device are these, read as numbers to the base; what libvirt writes begins with 0x or is decimal. */
static bool usb_has(const char *device, const char *const names[2], int base, const char *a, const char *b)
{
    _cleanup_free_ char *path_a = str_format("/sys/bus/usb/devices/%s/%s", device, names[0]);
    _cleanup_free_ char *path_b = str_format("/sys/bus/usb/devices/%s/%s", device, names[1]);
    _cleanup_free_ char *x = path_a ? sysfs_value(path_a) : NULL;
    _cleanup_free_ char *y = path_b ? sysfs_value(path_b) : NULL;

    return x && y && strtoul(x, NULL, base) == strtoul(a, NULL, base == 16 ? 16 : 0) &&
           strtoul(y, NULL, base) == strtoul(b, NULL, base == 16 ? 16 : 0);
}

/* Interfaces of device "1-2" are folders "1-2:1.0"; class 08 is mass storage. -1 also where there is no such device now. */
static int usb_class(struct hv *hv, const char *const names[2], int base, const char *a, const char *b)
{
    _cleanup_closedir_ DIR *dir = hv->local ? opendir("/sys/bus/usb/devices") : NULL;
    struct dirent *e;
    int found = -1;

    while (dir && found < 1 && (e = readdir(dir))) {
        char *colon = strchr(e->d_name, ':');
        if (!colon)
            continue;
        _cleanup_free_ char *path = str_format("/sys/bus/usb/devices/%s/bInterfaceClass", e->d_name);
        _cleanup_free_ char *class = path ? sysfs_value(path) : NULL;
        *colon = '\0';
        if (class && usb_has(e->d_name, names, base, a, b))
            found = strcmp(class, "08") == 0;
    }
    return found;
}

static int usb_is_storage(void *ctx, const char *vendor, const char *product)
{
    static const char *const names[2] = { "idVendor", "idProduct" };

    return usb_class(ctx, names, 16, vendor, product);
}

static int usb_at_is_storage(void *ctx, const char *bus, const char *device)
{
    static const char *const names[2] = { "busnum", "devnum" };

    return usb_class(ctx, names, 10, bus, device);
}

char *host_usb_gone(struct hv *hv, xmlNodePtr source)
{
    _cleanup_free_ char *vendor = xml_get(source, "vendor/@id"), *product = xml_get(source, "product/@id");
    _cleanup_free_ char *bus = xml_get(source, "address/@bus"), *device = xml_get(source, "address/@device");

    if (!hv->local || access("/sys/bus/usb/devices", X_OK) < 0)
        return NULL;
    if (vendor && product && usb_is_storage(hv, vendor, product) < 0)
        return str_format("%04lx:%04lx", strtoul(vendor, NULL, 16), strtoul(product, NULL, 16));
    if (bus && device && usb_at_is_storage(hv, bus, device) < 0)
        return str_format("bus %s device %s", bus, device);
    return NULL;
}

static char *default_nvram(void *ctx, const char *name)
{
    static const char *const endings[] = { "fd", "qcow2" };
    struct hv *hv = ctx;

    for (size_t i = 0; hv->nvram_dir && i < ARRAY_SIZE(endings); i++) {
        char *path = str_format("%s/%s_VARS.%s", hv->nvram_dir, name, endings[i]);
        if (path && io_exists(path))
            return path;
        free(path);
    }
    return NULL;
}

bool hv_nvram_is_implied(struct hv *hv, const char *name, const char *path)
{
    _cleanup_free_ char *found = default_nvram(hv, name);

    return found && strcmp(found, path) == 0;
}

struct domain_xml_env host_env(struct hv *hv)
{
    return (struct domain_xml_env){
        .ctx = hv,
        .resolve_volume = resolve_volume,
        .default_nvram = default_nvram,
        .pci_is_storage = pci_is_storage,
        .usb_is_storage = usb_is_storage,
        .usb_at_is_storage = usb_at_is_storage,
    };
}
