/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts of a definition that begin like paths: which are none, and what the others are called. */
#include "base/buf.h"
#include "hypervisor/xml/demands.h"
#include <errno.h>
#include <string.h>

/* ---- None of the host's -----------------------------------------------------------------------------------------------------------*/

static const struct paths_place {
    const char *parent, *name, *attribute; /* parent NULL: any; attribute NULL: its text */
} harmless[] = {
    { "domain", "name", NULL },        { "domain", "title", NULL },     { "domain", "description", NULL },
    { "os", "cmdline", NULL },         { "os", "initarg", NULL },       { "domain", "bootloader_args", NULL },
    { "disk", "serial", NULL },        { "disk", "vendor", NULL },      { "disk", "product", NULL },
    { "resource", "partition", NULL }, /* a group of the kernel's */
    { "system", "entry", NULL },       { "bios", "entry", NULL },       { "baseBoard", "entry", NULL },
    { "chassis", "entry", NULL },      { "oemStrings", "entry", NULL }, { "sysinfo", "entry", NULL },
    { "filesystem", "target", "dir" }, /* a name for the guest */
    { "lease", "key", NULL },          { "lease", "lockspace", NULL },  { NULL, "alias", "name" },
    { NULL, "console", "tty" },        { NULL, "source", "query" },     { NULL, "property", "value" },
    { NULL, "arg", "value" },          { NULL, "env", "value" }, /* told with its option */
};

static bool paths_is_harmless(xmlNodePtr node, const char *attribute)
{
    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
        const struct paths_place *p = &harmless[i];
        bool same = p->attribute == attribute || (p->attribute && attribute && strcmp(p->attribute, attribute) == 0);
        if (same && demands_is(node, p->parent, p->name))
            return true;
    }
    return false;
}

static bool attribute_is(xmlNodePtr node, const char *name, const char *value)
{
    _cleanup_free_ char *is = xml_attr(node, name);

    return is && strcmp(is, value) == 0;
}

/* What a server calls its image. */
static bool is_remote_name(xmlNodePtr node, const char *attribute)
{
    return attribute && strcmp(attribute, "name") == 0 && demands_is(node, NULL, "source") && xmlHasProp(node, BAD_CAST "protocol");
}

/* The terminal that libvirt made when the VM was started. */
static bool is_terminal(xmlNodePtr node, const char *attribute)
{
    return attribute && strcmp(attribute, "path") == 0 && demands_is(node, NULL, "source") && node->parent &&
           attribute_is(node->parent, "type", "pty");
}

/* The socket that libvirt made by itself for a channel of the VM, in a folder of its own: by a name that leads nowhere else. */
static bool is_libvirts_socket(xmlNodePtr node, const char *value)
{
    static const char *const folders[] = { "/var/lib/libvirt/qemu/channel/", "/run/libvirt/qemu/channel/", "/var/lib/libvirt/qemu/domain-",
                                           "/run/user/" };

    if (!demands_is(node, "channel", "source") || attribute_is(node, "mode", "connect") || strstr(value, "/.."))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (strncmp(value, folders[i], strlen(folders[i])) == 0)
            return i < 3 || strstr(value, "/libvirt/qemu/run/channel/") || strstr(value, "/libvirt/qemu/channel/");
    return false;
}

/* ---- The host's -------------------------------------------------------------------------------------------------------------------*/

static const struct paths_known {
    const char *parent, *name, *attribute, *kind;
    enum hv_danger danger;
    bool always; /* it is a place of the host however it begins */
} kinds[] = {
    { "devices", "emulator", NULL, "emulator", HV_DANGER_CODE, true },
    { "filesystem", "binary", "path", "program", HV_DANGER_CODE, true },
    { NULL, "script", "path", "script", HV_DANGER_CODE, true },
    { NULL, "downscript", "path", "script", HV_DANGER_CODE, true },
    { "domain", "bootloader", NULL, "program", HV_DANGER_CODE, true },
    { "os", "init", NULL, "program", HV_DANGER_CODE, true },
    { "os", "loader", NULL, "firmware", HV_DANGER_HOST, true },
    { "os", "nvram", "template", "firmware", HV_DANGER_HOST, true },
    { "os", "nvram", NULL, "NVRAM", HV_DANGER_HOST, true },
    { "nvram", "source", "file", "NVRAM", HV_DANGER_HOST, true },
    { "nvram", "source", "dev", "NVRAM", HV_DANGER_HOST, true },
    { "os", "kernel", NULL, "kernel", HV_DANGER_HOST, true },
    { "os", "initrd", NULL, "initrd", HV_DANGER_HOST, true },
    { "os", "dtb", NULL, "device tree", HV_DANGER_HOST, true },
    { "acpi", "table", NULL, "ACPI table", HV_DANGER_HOST, true },
    { NULL, "rom", "file", "option ROM", HV_DANGER_HOST, true },
    { NULL, "log", "file", "log", HV_DANGER_HOST, true },
    { NULL, "entry", "file", "file for the firmware", HV_DANGER_HOST, true },
    { "source", "path", NULL, "file of persistent memory", HV_DANGER_HOST, true },
    { "filesystem", "source", "dir", "filesystem", HV_DANGER_HOST, true },
    { "filesystem", "source", NULL, "filesystem", HV_DANGER_HOST, false },
    { NULL, "gl", "rendernode", "device", HV_DANGER_HOST, true },
    { NULL, "acceleration", "rendernode", "device", HV_DANGER_HOST, true },
    { NULL, "listen", "socket", "socket", HV_DANGER_HOST, true },
    { "devices", "graphics", "socket", "socket", HV_DANGER_HOST, true },
    { NULL, "host", "socket", "socket", HV_DANGER_HOST, true },
    { "input", "source", NULL, "input device", HV_DANGER_HOST, false },
    { "device", "path", NULL, "limit of the device", HV_DANGER_RESOURCE, false },
    { "backend", "device", "path", "device", HV_DANGER_HOST, true },
    { NULL, "backend", "tap", "device", HV_DANGER_HOST, false },
    { NULL, "backend", "vhost", "device", HV_DANGER_HOST, false },
    { NULL, "backend", NULL, "source of random numbers", HV_DANGER_HOST, false },
};

static const struct paths_known *find_known(xmlNodePtr node, const char *attribute)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct paths_known *k = &kinds[i];
        /* A <source> without an attribute in the table stands for all that it has. */
        bool same = k->attribute ? attribute && strcmp(k->attribute, attribute) == 0 : !attribute || strcmp(k->name, "source") == 0;
        if (same && demands_is(node, k->parent, k->name))
            return k;
    }
    return NULL;
}

/* What any VM may have: random numbers, and what the kernel gives to everybody for a network interface. */
static bool is_everybodys(const char *path)
{
    static const char *const devices[] = { "/dev/urandom", "/dev/random", "/dev/hwrng", "/dev/net/tun", "/dev/vhost-net", "/dev/null" };

    for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
        if (strcmp(path, devices[i]) == 0)
            return true;
    return false;
}

/* Of a disk: its image, what lies below it, what it is being copied to. */
static bool is_image(xmlNodePtr node, const char *attribute)
{
    bool parts = demands_is(node, "disk", "source") || demands_is(node, "backingStore", "source") || demands_is(node, "mirror", "source") ||
                 demands_is(node, "disk", "mirror");

    return attribute && parts && (strcmp(attribute, "file") == 0 || strcmp(attribute, "dev") == 0 || strcmp(attribute, "dir") == 0);
}

static int paths_add_image(struct demands_walk *w, xmlNodePtr node, const char *path)
{
    xmlNodePtr disk = node;

    while (disk && !demands_is(disk, "devices", "disk"))
        disk = disk->parent;
    _cleanup_free_ char *target = disk ? xml_get(disk, "target/@dev") : NULL;
    const char *kind = disk && attribute_is(disk, "device", "cdrom")    ? "cdrom"
                       : disk && attribute_is(disk, "device", "floppy") ? "floppy"
                                                                        : "disk image";
    return demands_add(w, HV_DANGER_HOST, kind, path, str_format("%s (%s)", path, target ? target : "?"));
}

/* The far end of a serial port, console, channel ...: what it is, by the port's type. NULL: node is none, or it has no place. */
static const char *port_kind(xmlNodePtr node, const char *attribute)
{
    static const char *const types[][2] = {
        { "file", "file" }, { "pipe", "pipe" }, { "dev", "device" }, { "unix", "socket" }, { "vhostuser", "socket" }
    };

    for (size_t i = 0; attribute && strcmp(attribute, "path") == 0 && demands_is(node, NULL, "source") && i < ARRAY_SIZE(types); i++)
        if (attribute_is(node->parent, "type", types[i][0]))
            return types[i][1];
    return NULL;
}

static bool is_none(xmlNodePtr node, const char *attribute, const char *value)
{
    return !value[0] || paths_is_harmless(node, attribute) || is_remote_name(node, attribute) || is_terminal(node, attribute) ||
           is_libvirts_socket(node, value);
}

int demands_of_value(struct demands_walk *w, xmlNodePtr node, const char *attribute, const char *value)
{
    const struct paths_known *known = find_known(node, attribute);
    const char *port = port_kind(node, attribute), *path = value[0] == '/' ? value : NULL;

    if (is_none(node, attribute, value))
        return 0;
    if (is_image(node, attribute))
        return paths_add_image(w, node, value);
    enum hv_danger danger = is_everybodys(value) ? HV_DANGER_RESOURCE : known ? known->danger : HV_DANGER_HOST;
    if (known && demands_is(node, "filesystem", "source")) {
        _cleanup_free_ char *mode = xml_attr(node->parent, "accessmode");
        return demands_add(w, danger, known->kind, path, str_format("%s (%s)", value, mode ? mode : "passthrough"));
    }
    if (port || (known && (path || known->always)))
        return demands_add(w, danger, port ? port : known->kind, path, strdup(value));
    return path ? demands_add(w, danger, "path", path, str_format("%s (%s)", path, (const char *)node->name)) : 0;
}
