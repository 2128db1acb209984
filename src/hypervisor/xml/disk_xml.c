/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <disk> of a domain definition. */
#include "hypervisor/xml/domain_xml.h"
#include <errno.h>
#include <string.h>

void hv_disk_clear(struct hv_disk *disk)
{
    free(disk->target);
    free(disk->protocol);
    free(disk->path);
    free(disk->node);
    free(disk->no_node);
    free(disk->locator);
    free(disk->format);
    free(disk->unreadable);
    strv_free(disk->backing);
    *disk = (struct hv_disk){ 0 };
}

static enum hv_disk_device device_of(const char *s)
{
    if (s && strcmp(s, "cdrom") == 0)
        return HV_DEVICE_CDROM;
    if (s && strcmp(s, "floppy") == 0)
        return HV_DEVICE_FLOPPY;
    if (s && strcmp(s, "lun") == 0)
        return HV_DEVICE_LUN;
    return HV_DEVICE_DISK;
}

char *disk_xml_source_path(xmlNodePtr source)
{
    static const char *const attributes[] = { "file", "dev", "dir", "name", "path" };

    for (size_t i = 0; source && i < ARRAY_SIZE(attributes); i++) {
        char *s = xml_attr(source, attributes[i]);
        if (s && s[0])
            return s;
        free(s);
    }
    return NULL;
}

/* "rbd:pool/image", "nbd:host:10809", "nbd:/run/socket": enough for a person to know it. NULL: out of memory. */
static char *network_locator(xmlNodePtr source, const char *protocol)
{
    _cleanup_free_ char *name = xml_attr(source, "name");
    _cleanup_free_ char *host = xml_get(source, "host/@name");
    _cleanup_free_ char *port = xml_get(source, "host/@port");
    _cleanup_free_ char *socket = xml_get(source, "host/@socket");
    const char *at = host ? host : socket ? socket : "";

    if (name && name[0])
        return str_format("%s:%s", protocol, name);
    return port ? str_format("%s:%s:%s", protocol, at, port) : str_format("%s:%s", protocol, at);
}

static int parse_network(xmlNodePtr source, struct hv_disk *disk)
{
    disk->source = HV_SOURCE_NETWORK;
    disk->protocol = xml_attr(source, "protocol");
    if (!disk->protocol)
        disk->protocol = strdup("unknown");
    disk->locator = disk->protocol ? network_locator(source, disk->protocol) : NULL;
    return disk->locator ? 0 : -ENOMEM;
}

static int parse_volume(xmlNodePtr source, const struct domain_xml_env *env, struct hv_disk *disk)
{
    _cleanup_free_ char *pool = xml_attr(source, "pool");
    _cleanup_free_ char *volume = xml_attr(source, "volume");

    if (env && env->resolve_volume && pool && volume && env->resolve_volume(env->ctx, pool, volume, disk) == 0)
        return 0;
    disk->source = HV_SOURCE_OTHER;
    disk->locator = str_format("volume:%s/%s", pool ? pool : "", volume ? volume : "");
    return disk->locator ? 0 : -ENOMEM;
}

/* A local path, or what only QEMU can make something of. */
static int parse_path(const char *type, xmlNodePtr source, struct hv_disk *disk)
{
    _cleanup_free_ char *path = disk_xml_source_path(source);
    bool file = strcmp(type, "file") == 0, block = strcmp(type, "block") == 0;

    if ((file || block) && !path)
        return 0; /* an empty drive */
    if ((file || block) && path[0] == '/') {
        disk->source = file ? HV_SOURCE_FILE : HV_SOURCE_BLOCK;
        disk->path = strdup(path);
        disk->locator = strdup(path);
        return disk->path && disk->locator ? 0 : -ENOMEM;
    }
    disk->source = HV_SOURCE_OTHER;
    disk->locator = str_format("%s:%s", type, path ? path : "");
    return disk->locator ? 0 : -ENOMEM;
}

static long disk_xml_number(xmlNodePtr node, const char *xpath)
{
    _cleanup_free_ char *s = xml_get(node, xpath);

    return s ? strtol(s, NULL, 0) : 0;
}

/* "nvme:0000:01:00.0/1": a drive given to the VM with its PCI device; after the slash its name space. */
static int parse_nvme(xmlNodePtr source, struct hv_disk *disk)
{
    disk->source = HV_SOURCE_OTHER;
    disk->locator = str_format("nvme:%04lx:%02lx:%02lx.%lx/%ld", disk_xml_number(source, "address/@domain"),
                               disk_xml_number(source, "address/@bus"), disk_xml_number(source, "address/@slot"),
                               disk_xml_number(source, "address/@function"), disk_xml_number(source, "@namespace"));
    return disk->locator ? 0 : -ENOMEM;
}

static int parse_source(xmlNodePtr node, const struct domain_xml_env *env, struct hv_disk *disk)
{
    _cleanup_free_ char *type = xml_attr(node, "type");
    xmlNodePtr source = xml_find(node, "source");

    disk->source = HV_SOURCE_NONE;
    if (!source)
        return 0;
    if (type && strcmp(type, "network") == 0)
        return parse_network(source, disk);
    if (type && strcmp(type, "volume") == 0)
        return parse_volume(source, env, disk);
    if (type && strcmp(type, "nvme") == 0)
        return parse_nvme(source, disk);
    return parse_path(type ? type : "file", source, disk);
}

/* QEMU's drivers that forbid migration (migrate_add_blocker()), by libvirt's names of their formats. */
static const char *unsaveable_format(const char *format)
{
    static const char *const formats[] = { "qcow", "vdi", "vhdx", "vmdk", "vpc", "ploop" };

    for (size_t i = 0; format && i < ARRAY_SIZE(formats); i++)
        if (strcmp(format, formats[i]) == 0)
            return formats[i];
    return NULL;
}

static int disk_xml_add_backing(xmlNodePtr backing, struct hv_disk *disk)
{
    _cleanup_free_ char *type = xml_attr(backing, "type");
    xmlNodePtr source = xml_find(backing, "source");
    _cleanup_free_ char *path = disk_xml_source_path(source);

    if (type && strcmp(type, "network") == 0 && source) {
        _cleanup_free_ char *protocol = xml_attr(source, "protocol");
        _cleanup_free_ char *locator = network_locator(source, protocol ? protocol : "unknown");
        return locator ? strv_add(&disk->backing, locator) : -ENOMEM;
    }
    return path ? strv_add(&disk->backing, path) : 0;
}

static int parse_backing(xmlNodePtr node, struct hv_disk *disk)
{
    xmlNodePtr backing = xml_find(node, "backingStore");

    for (unsigned depth = 0; backing && xml_find(backing, "source"); depth++) {
        if (depth >= CHAIN_MAX)
            return -ELOOP;
        _cleanup_free_ char *format = xml_get(backing, "format/@type");
        int r = disk_xml_add_backing(backing, disk);
        if (r < 0)
            return r;
        if (!disk->unsaveable)
            disk->unsaveable = unsaveable_format(format);
        backing = xml_find(backing, "backingStore");
    }
    return 0;
}

/* While the VM runs, a transient disk is an overlay of libvirt's, IMAGE.TRANSIENT-VM, which ends with it: the image is what lies behind. */
static int take_image_behind(xmlNodePtr node, struct hv_disk *disk)
{
    const char *mark = disk->transient && disk->path ? strstr(disk->path, ".TRANSIENT-") : NULL;
    size_t len = mark ? (size_t)(mark - disk->path) : 0;

    if (!len || !disk->backing || strlen(disk->backing[0]) != len || strncmp(disk->backing[0], disk->path, len))
        return 0;
    free(disk->path);
    disk->path = disk->backing[0];
    memmove(disk->backing, disk->backing + 1, strv_len(disk->backing) * sizeof(*disk->backing));
    free(disk->locator);
    free(disk->format);
    disk->locator = strdup(disk->path);
    disk->format = xml_get(node, "backingStore/format/@type");
    return disk->locator && disk->format ? 0 : -ENOMEM;
}

/* A volume's server is known to its pool alone. */
static int fill_node(xmlNodePtr node, struct hv_disk *disk)
{
    _cleanup_free_ char *type = xml_attr(node, "type");
    struct network_node found = { 0 };

    if (disk->source != HV_SOURCE_NETWORK || !disk->protocol)
        return 0;
    if (!type || strcmp(type, "network") != 0)
        return (disk->no_node = strdup("it is a volume of a storage pool on the network")) ? 0 : -ENOMEM;
    int r = network_xml_node(node, disk->protocol, disk->format, &found);
    disk->node = found.text;
    disk->no_node = found.why_none;
    return r;
}

static int disk_xml_fill(xmlNodePtr node, const struct domain_xml_env *env, struct hv_disk *disk)
{
    _cleanup_free_ char *device = xml_attr(node, "device");

    disk->device = device_of(device);
    disk->readonly = xml_find(node, "readonly");
    disk->shareable = xml_find(node, "shareable");
    disk->transient = xml_find(node, "transient");
    disk->slice = xml_find(node, "source/slices");
    disk->encrypted = xml_find(node, ".//encryption");
    int r = parse_source(node, env, disk);
    if (r == 0)
        r = parse_backing(node, disk);
    if (r < 0)
        return r;
    disk->format = xml_get(node, "driver/@type");
    if (!disk->format)
        disk->format = strdup("raw"); /* as libvirt: nothing is ever guessed from what a guest may have written */
    if (!disk->unsaveable)
        disk->unsaveable = unsaveable_format(disk->format);
    if (!disk->locator)
        disk->locator = strdup("");
    if (!disk->format || !disk->locator || fill_node(node, disk) < 0)
        return -ENOMEM;
    return take_image_behind(node, disk);
}

int disk_xml_parse(xmlNodePtr node, const struct domain_xml_env *env, struct hv_disk *ret, struct err *err)
{
    struct hv_disk disk = { .target = xml_get(node, "target/@dev") };

    if (!disk.target || !disk.target[0]) {
        hv_disk_clear(&disk);
        return err_set(err, EINVAL, "a disk of the definition has no target");
    }
    int r = disk_xml_fill(node, env, &disk);
    if (r < 0) {
        r = err_errno(err, -r, "cannot read disk %s of the definition", disk.target);
        hv_disk_clear(&disk);
        return r;
    }
    *ret = disk;
    return 0;
}
