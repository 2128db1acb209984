/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Elements of a definition that demand something of the host as a whole, whatever texts are in them. */
#include "base/buf.h"
#include "hypervisor/xml/demands.h"
#include <errno.h>
#include <string.h>

/* "pci address 0000:01:00.0": the attributes of what is below node, in words. NULL: out of memory. Caller frees. */
static char *devices_in_words(xmlNodePtr node, const char *lead)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (buf_addf(&b, "%s", lead ? lead : "") < 0)
        return NULL;
    for (xmlNodePtr n = node ? node->children : NULL; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        for (xmlAttrPtr a = n->properties; a; a = a->next) {
            xmlChar *value = xmlNodeGetContent((xmlNodePtr)a);
            int r = buf_addf(&b, "%s%s=%s", b.len ? " " : "", (const char *)a->name, value ? (const char *)value : "");
            xmlFree(value);
            if (r < 0)
                return NULL;
        }
    }
    return b.len ? buf_take_str(&b) : strdup("?");
}

/* ---- Devices ----------------------------------------------------------------------------------------------------------------------*/

static int of_hostdev(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *mode = xml_attr(node, "mode"), *type = xml_attr(node, "type");

    if (mode && strcmp(mode, "capabilities") == 0) /* of containers */
        return demands_add(w, HV_DANGER_HOST, "host device", NULL, strdup("capabilities"));
    return demands_add(w, HV_DANGER_HOST, "host device", NULL, devices_in_words(xml_find(node, "source"), type));
}

/* What is no file of the host's; those are told by their path. */
static int of_disk(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *type = xml_attr(node, "type"), *target = xml_get(node, "target/@dev"), *rawio = xml_attr(node, "rawio");
    _cleanup_free_ char *sgio = xml_attr(node, "sgio"), *what = NULL;
    xmlNodePtr source = xml_find(node, "source");
    int r = 0;

    if ((rawio && strcmp(rawio, "yes") == 0) || (sgio && strcmp(sgio, "unfiltered") == 0)) {
        char *disk = w->disk; /* stays when the image is replaced */
        w->disk = NULL;
        r = demands_add(w, HV_DANGER_HOST, "raw access", NULL, str_format("disk %s", target ? target : "?"));
        w->disk = disk;
    }
    if (r < 0 || !type || !source)
        return r;
    bool volume = strcmp(type, "volume") == 0, nvme = strcmp(type, "nvme") == 0, network = strcmp(type, "network") == 0;
    _cleanup_free_ char *protocol = xml_attr(source, "protocol"), *name = xml_attr(source, "name");
    _cleanup_free_ char *pool = xml_attr(source, "pool"), *of_pool = xml_attr(source, "volume"), *host = xml_get(source, "host/@name");
    if (volume)
        what = str_format("%s of the storage pool %s (%s)", of_pool ? of_pool : "?", pool ? pool : "?", target ? target : "?");
    else if (network)
        what = str_format("%s:%s%s%s (%s)", protocol ? protocol : "?", host ? host : "", host ? ":" : "", name ? name : "",
                          target ? target : "?");
    else if (nvme)
        what = devices_in_words(source, "nvme");
    else
        return 0;
    return demands_add(w, network ? HV_DANGER_RESOURCE : HV_DANGER_HOST,
                       network  ? "network disk"
                       : volume ? "volume"
                                : "host device",
                       NULL, TAKE_PTR(what));
}

static int of_interface(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *type = xml_attr(node, "type"), *name = NULL;
    const char *t = type ? type : "";

    if (strcmp(t, "hostdev") == 0)
        return demands_add(w, HV_DANGER_HOST, "host device", NULL, devices_in_words(xml_find(node, "source"), "network interface"));
    if (strcmp(t, "vdpa") == 0 || strcmp(t, "vhostuser") == 0 || strcmp(t, "user") == 0)
        return 0; /* by their paths; and what libvirt does by itself */
    name = xml_get(node, "source/@network | source/@bridge | source/@dev | source/@address");
    return demands_add(w, HV_DANGER_RESOURCE, "network", NULL, str_format("%s%s%s", t, name ? " " : "", name ? name : ""));
}

/* What is no path; those are told as such. */
static int of_filesystem(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *type = xml_attr(node, "type"), *name = xml_get(node, "source/@name | source/@volume");

    return name && type ? demands_add(w, HV_DANGER_HOST, "filesystem", NULL, str_format("%s %s", type, name)) : 0;
}

static bool is_loopback(const char *address)
{
    return !address || !*address || strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0;
}

static int of_graphics(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *type = xml_attr(node, "type"), *here = xml_attr(node, "listen"), *below = xml_get(node, "listen/@address");
    _cleanup_free_ char *network = xml_get(node, "listen/@network");
    const char *address = below ? below : here;

    if (is_loopback(address) && !network)
        return 0;
    return demands_add(w, HV_DANGER_RESOURCE, "display", NULL,
                       str_format("%s on %s", type ? type : "?",
                                  network   ? network
                                  : address ? address
                                            : "?"));
}

/* Of a serial port, console, channel ...: what goes over the network. */
static int of_port(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *type = xml_attr(node, "type");

    if (!type || (strcmp(type, "tcp") && strcmp(type, "udp")))
        return 0;
    _cleanup_free_ char *host = xml_get(node, "source/@host"), *service = xml_get(node, "source/@service");
    _cleanup_free_ char *mode = xml_get(node, "source/@mode");
    return demands_add(w, HV_DANGER_RESOURCE, "port of the network", NULL,
                       str_format("%s %s %s:%s", type, mode ? mode : "", host ? host : "", service ? service : ""));
}

/* ---- What QEMU may ----------------------------------------------------------------------------------------------------------------*/

/* What libvirt makes up by itself is "dynamic"; anything else has QEMU run as somebody else, or confined by nothing. */
static int of_seclabel(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *type = xml_attr(node, "type"), *model = xml_attr(node, "model"), *base = xml_get(node, "baselabel");
    _cleanup_free_ char *label = xml_get(node, "label");

    if (type && strcmp(type, "dynamic") == 0 && !base)
        return 0;
    return demands_add(w, HV_DANGER_CODE, "security label", NULL,
                       str_format("%s %s%s%s", model ? model : "any", type ? type : "dynamic", base || label ? " " : "",
                                  base    ? base
                                  : label ? label
                                          : ""));
}

/* Owner or label of one file. */
static int of_file_label(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *label = xml_get(node, "label"), *model = xml_attr(node, "model");

    return label ? demands_add(w, HV_DANGER_HOST, "label of a file", NULL, str_format("%s %s", model ? model : "any", label)) : 0;
}

static int of_dump(struct demands_walk *w, xmlNodePtr node)
{
    _cleanup_free_ char *what = xml_get(node, ".");

    return what && strncmp(what, "coredump", 8) == 0
               ? demands_add(w, HV_DANGER_RESOURCE, "dump of its memory", NULL, str_format("when it crashes (%s)", what))
               : 0;
}

/* ---- All of them --------------------------------------------------------------------------------------------------------------------*/

/* What is only named. */
static const struct {
    const char *parent, *name, *kind, *text; /* text: XPath below the element */
} resources[] = {
    { "devices", "shmem", "shared memory", "@name" },
    { "devices", "lease", "lease", "key" },
    { "devices", "redirdev", "USB redirection", "@type" },
    { "devices", "smartcard", "smart card", "@mode" },
    { "devices", "vsock", "vsock", "cid/@address" },
    { NULL, "filterref", "network filter", "@filter" },
    { NULL, "secret", "secret", "@uuid | @usage" },
    { "domain", "launchSecurity", "launch security", "@type" },
    { "memoryBacking", "hugepages", "huge pages", "page/@size" },
    { "resource", "fibrechannel", "application ID", "@appid" },
};

static int of_resources(struct demands_walk *w, xmlNodePtr node)
{
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        if (!demands_is(node, resources[i].parent, resources[i].name))
            continue;
        _cleanup_free_ char *text = xml_get(node, resources[i].text);
        return demands_add(w, HV_DANGER_RESOURCE, resources[i].kind, NULL, strdup(text ? text : ""));
    }
    return 0;
}

int demands_of_element(struct demands_walk *w, xmlNodePtr node)
{
    static const struct {
        const char *parent, *name;
        int (*demand)(struct demands_walk *w, xmlNodePtr node);
    } rules[] = {
        { "devices", "hostdev", of_hostdev },       { "devices", "disk", of_disk },         { "devices", "interface", of_interface },
        { "devices", "filesystem", of_filesystem }, { "devices", "graphics", of_graphics }, { "devices", "serial", of_port },
        { "devices", "parallel", of_port },         { "devices", "console", of_port },      { "devices", "channel", of_port },
        { "devices", "smartcard", of_port },        { "devices", "redirdev", of_port },     { "domain", "seclabel", of_seclabel },
        { NULL, "seclabel", of_file_label },        { "domain", "on_crash", of_dump },
    };
    int r = of_resources(w, node);

    for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++)
        if (demands_is(node, rules[i].parent, rules[i].name))
            return rules[i].demand(w, node);
    return r;
}
